"""Opens a connection to a broker: MQTT 5, or 3.1.1 with a broker that refuses 5."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ccm_contracts.config.services import Mqtt
from ccm_uplink.sinks.mqtt_client import CLOSED, Client, MqttError, Passed, Protocol, Will
from ccm_uplink.sinks.mqtt_errors import UNANSWERED

_OTHER_VERSION: Final = ("unsupported protocol version", CLOSED)
"""How a broker that does not speak MQTT 5 says so, in lower case: with a code, or by hanging up."""

HANG_UPS: Final = 5
"""A broker that took MQTT 5 and then hangs up so often in a row may be another one by now."""


@dataclass
class Connector:
    """Remembers for one target which version its broker takes."""

    settings: Mqtt
    identifier: str
    keeps: bool = False
    """The broker is to keep the session while nobody is connected."""
    passed: Passed = lambda _: None
    """Of all its connections."""
    protocol: Protocol | None = None
    """What the broker took last."""
    _hang_ups: int = 0
    _abandoned: set[asyncio.Task[None]] = field(default_factory=set)

    async def connect(self, will: Will | None = None, *, keeps: bool | None = None) -> Client:
        """`keeps`: other than the connector's, for once.

        Raises `MqttError`, `OSError` (also of TLS) and `ValueError`; the caller leaves the client.
        """
        chosen = self.settings.protocol
        if chosen != "auto":
            return await self._connect(chosen, will, keeps)
        try:
            return await self._connect(self.protocol or "5", will, keeps)
        except MqttError as err:
            if self.protocol == "3.1.1":
                self.protocol = None  # perhaps another broker by now
                raise
            if not self._is_other_version(str(err).lower()):
                raise
        return await self._connect("3.1.1", will, keeps)

    def _is_other_version(self, text: str) -> bool:
        """A broker that took MQTT 5 before and hangs up is restarting, or the line is cut, unless it goes on so."""
        if CLOSED not in text:
            self._hang_ups = 0
            return any(word in text for word in _OTHER_VERSION)
        self._hang_ups += 1
        return self.protocol != "5" or self._hang_ups >= HANG_UPS

    async def _connect(self, protocol: Protocol, will: Will | None, keeps: bool | None) -> Client:
        client = Client(
            self.settings,
            identifier=self.identifier,
            protocol=protocol,
            keeps=self.keeps if keeps is None else keeps,
            will=will,
            passed=self.passed,
        )
        await self._enter(client)
        self.protocol = protocol
        self._hang_ups = 0
        return client

    async def _enter(self, client: Client) -> None:
        """aiomqtt leaves a socket behind when it is cancelled, or when no CONNACK comes: close it later."""
        connecting = asyncio.create_task(_entered(client), name="uplink.mqtt.connect")
        try:
            await asyncio.shield(connecting)
        except (asyncio.CancelledError, MqttError) as err:
            if not isinstance(err, MqttError) or str(err) == UNANSWERED:
                leaving = asyncio.create_task(_left(connecting, client), name="uplink.mqtt.leave")
                self._abandoned.add(leaving)
                leaving.add_done_callback(self._abandoned.discard)
            raise


async def leave(client: Client, within_s: float) -> None:
    """Disconnect in good order, or not at all when the broker does not answer."""
    with suppress(MqttError, TimeoutError, OSError):
        async with asyncio.timeout(within_s):
            await client.__aexit__(None, None, None)
    client.settle()


async def _entered(client: Client) -> None:
    await client.__aenter__()


async def _left(connecting: "asyncio.Task[None]", client: Client) -> None:
    with suppress(MqttError, OSError):
        await connecting
    with suppress(MqttError, OSError):
        await client.__aexit__(None, None, None)
