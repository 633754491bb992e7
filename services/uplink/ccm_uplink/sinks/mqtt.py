"""An MQTT broker as a sink, with its status, its commands and its companions.

QoS 2 holds a session at the broker and its own side of it on disk, so that each message arrives once; QoS 0 and 1
begin each connection clean, and what was sent and not acknowledged is sent again.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from ccm_contracts.config.services import Mqtt
from ccm_contracts.types import format_ts
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus, Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_uplink.commands import Commands
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.mqtt_client import Client, MqttError, Will
from ccm_uplink.sinks.mqtt_commands import Listener
from ccm_uplink.sinks.mqtt_connect import Connector, leave
from ccm_uplink.sinks.mqtt_errors import reason_of
from ccm_uplink.sinks.mqtt_parcels import Consignment, consignments
from ccm_uplink.sinks.mqtt_session import Session
from ccm_uplink.sinks.mqtt_store import SessionStore
from ccm_uplink.topics import Topics

log = logging.getLogger(__name__)

GOODBYE_S: Final = 2.0
CONNECTED_S: Final = 10.0
"""How long a batch waits for a connection before the pump is told that there is none."""
RETRY_FIRST_S: Final = 0.5
RETRY_CEILING_S: Final = 5.0
STATUS_S: Final = 60.0
"""How often the status is published anew while connected."""

Facts = Callable[[], dict[str, Any]]
"""More fields of the status message."""


class Companion(Protocol):
    """Something beside the outbox that uses the connection, or sees what passes."""

    def see(self, delivery: Delivery) -> None:
        """A message is about to be sent; may be seen again after an outage."""

    async def run(self, client: Client) -> None:
        """As long as the connection lasts; returns when it has nothing more to do. Raises `MqttError`."""


class MqttSink:
    """Delivered means: confirmed by the broker (QoS 1, 2), or written to the connection (QoS 0)."""

    def __init__(
        self,
        settings: Mqtt,
        bus: Bus,
        report: LinkReport,
        *,
        commands: Commands,
        data_dir: Path,
        companions: Sequence[Companion] = (),
        facts: Facts = dict,
    ) -> None:
        """`settings` have the address of the broker to use."""
        self._settings = settings
        self._bus = bus
        self._report = report
        self._topics = Topics(settings.prefix_sub, settings.prefix_pub)
        self._commands = commands
        self._companions = companions
        self._facts = facts
        self._connector = Connector(settings, settings.client_id or bus.gateway, keeps=settings.qos == 2)
        self._store = SessionStore(_store_path(data_dir, settings, self._connector.identifier))
        self._session: Session | None = None
        self._connected = asyncio.Event()

    # --- the connection ------------------------------------------------------------------------------

    async def run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        if self._settings.qos == 2:
            await asyncio.to_thread(self._store.load)
        while True:
            try:
                await self._live(backoff)
            except (MqttError, OSError, ValueError) as err:  # ssl's errors are OSErrors
                self._report.down(reason_of(err, self._settings))
            await asyncio.sleep(backoff.next())

    async def _live(self, backoff: Backoff) -> None:
        """One connection, from its beginning to its end. Raises `MqttError`, `OSError` and `ValueError`."""
        offline = Will(
            self._topics.status, self._status(online=False), min(1, self._settings.qos), retain=True
        )
        if self._settings.qos == 2 and self._store.is_new:
            await self._begin_anew()
        client = await self._connector.connect(offline)
        try:
            session = Session(client, self._settings.qos, self._store, self._parcels)
            if self._settings.qos == 2:
                await session.resume()
            listener = await self._greet(client)
            stop_if_cancelled()
            await self._serve(client, session, listener, backoff)
        except asyncio.CancelledError:
            with suppress(MqttError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):  # an orderly end sends no last will
                    await self._say(client, online=False)
            raise
        finally:
            await leave(client, GOODBYE_S)

    async def _begin_anew(self) -> None:
        """A session that the broker kept for somebody with our name, but whose handshakes we do not know."""
        await leave(await self._connector.connect(keeps=False), GOODBYE_S)
        self._store.is_new = False

    def _status(self, *, online: bool) -> bytes:
        """The last will carries the time of the connection's beginning: it is laid down there."""
        fixed = {
            "online": online,
            "ts": format_ts(self._bus.clock.now()),
            "gateway": self._bus.gateway,
            "version": self._bus.version,
        }
        return json.dumps(fixed | (self._facts() if online else {})).encode()

    async def _say(self, client: Client, *, online: bool) -> None:
        qos = min(1, self._settings.qos)
        await client.publish(self._topics.status, self._status(online=online), qos, retain=True)

    async def _greet(self, client: Client) -> Listener:
        listener = Listener(client, self._topics, self._commands)
        # A kept session queues QoS 1 and 2 for an absent gateway: no relay switches hours later.
        qos = 0 if self._settings.qos == 2 else 1
        if self._settings.accept_commands and not await listener.subscribe(qos):
            text = f"the broker refuses to deliver {self._topics.commands}"
            self._bus.event("mqtt-commands", "warning", text)
        await self._say(client, online=True)
        return listener

    async def _serve(self, client: Client, session: Session, listener: Listener, backoff: Backoff) -> None:
        work: list[Awaitable[Any]] = [listener.run(), _gone(client), session.over.wait(), session.release()]
        work += [self._keep_status(client), *(each.run(client) for each in self._companions)]
        tasks = [asyncio.ensure_future(each) for each in work]
        self._session = session
        self._connected.set()
        self._report.up()
        try:
            await _first_end(tasks)
            raise MqttError(session.error or "the connection was lost")
        finally:
            self._session = None
            self._connected.clear()
            session.end("the connection to the broker was lost")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if session.confirmed:
                backoff.reset()

    async def _keep_status(self, client: Client) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            await self._say(client, online=True)

    # --- to the broker -------------------------------------------------------------------------------

    async def deliver(self, batch: Handover) -> None:
        session = await self._session_now()
        for delivery in batch.left() if self._companions else ():
            for companion in self._companions:
                companion.see(delivery)
        await session.carry(batch)

    async def _session_now(self) -> Session:
        try:
            async with asyncio.timeout(CONNECTED_S):
                while self._session is None:
                    await self._connected.wait()
        except TimeoutError as err:
            raise SinkDownError(self._report.error or "there is no connection to the broker") from err
        return self._session

    def _parcels(self, deliveries: Sequence[Delivery]) -> list[Consignment]:
        return consignments(deliveries, self._settings, self._topics)


async def _gone(client: Client) -> None:
    await client.gone.wait()
    raise MqttError("the connection was lost")


async def _first_end(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    """Until one of them raises, or the connection's own watchers return. Raises what it raised."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            err = task.exception()
            if isinstance(err, BaseExceptionGroup):
                raise err.exceptions[0]
            if err is not None:
                raise err
            if task.result() is True:  # the session is over
                return


def _store_path(data_dir: Path, settings: Mqtt, identifier: str) -> Path:
    """One for each session at a broker: it is known there by its client id."""
    target = f"{settings.hostname}:{settings.port}/{identifier}"
    return data_dir / f"mqtt-session-{hashlib.sha256(target.encode()).hexdigest()[:12]}.log"
