"""Tries MQTT settings step by step, beside the link in use: name, TCP, TLS, credentials, permissions."""

import asyncio
import os
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal

from ccm_contracts.config.services import Mqtt
from ccm_contracts.verbs.uplink import LinkTestReport, LinkTestStep
from ccm_uplink.sinks.certificates import describe, shown_by
from ccm_uplink.sinks.mqtt_client import Client, MqttError
from ccm_uplink.sinks.mqtt_connect import Connector, leave
from ccm_uplink.sinks.mqtt_errors import reason_of
from ccm_uplink.sinks.tls import hint_of, refusal_of_ours, tls_context
from ccm_uplink.topics import Topics

TOTAL_S: Final = 15.0
STEP_S: Final = 5.0
REFUSAL_S: Final = 1.0
"""How long a refusal of our certificate may be on its way."""
ECHO_S: Final = 2.0
"""How long a message to ourselves may take."""
SUFFIX: Final = "-test"
"""Added to the client id: a broker ends the older of two connections with the same one."""


Outcome = tuple[Literal["ok", "failed", "unknown", "skipped"], str, str]
"""Outcome, text and hint of a step."""


class _FailedError(Exception):
    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


async def try_settings(settings: Mqtt, gateway: str) -> LinkTestReport:
    """`settings` have the broker's address and their secrets in clear. Takes `TOTAL_S` at most."""
    probe = MqttProbe(settings, gateway)
    steps: list[LinkTestStep] = []
    try:
        async with asyncio.timeout(TOTAL_S):
            for name, step in probe.steps():
                outcome, text, hint = await _outcome(step)
                steps.append(LinkTestStep(step=name, outcome=outcome, text=text, hint=hint))
                if outcome == "failed":
                    break
    except TimeoutError:
        text = f"the whole test took longer than {TOTAL_S:g} s"
        steps.append(
            LinkTestStep(step="time", outcome="failed", text=text, hint="Is the connection very slow?")
        )
    finally:
        await probe.close()
    return LinkTestReport(ok=all(step.outcome != "failed" for step in steps), steps=steps)


async def _outcome(step: Callable[[], Awaitable[Outcome]]) -> Outcome:
    try:
        return await step()
    except _FailedError as err:
        return "failed", str(err), err.hint


class MqttProbe:
    """The steps, in their order; each may use what the former ones found."""

    def __init__(self, settings: Mqtt, gateway: str) -> None:
        self._settings = settings
        self._topics = Topics(settings.prefix_sub, settings.prefix_pub)
        self._connector = Connector(settings, (settings.client_id or gateway) + SUFFIX)
        self._client: Client | None = None
        self._at = f"{settings.hostname}:{settings.port}"

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[Outcome]]]]:
        return [
            ("name", self._name),
            ("tcp", self._tcp),
            ("tls", self._tls),
            ("credentials", self._connect),
            ("publish", self._publish),
            ("subscribe", self._subscribe),
        ]

    async def close(self) -> None:
        if self._client is not None:
            await leave(self._client, ECHO_S)

    async def _name(self) -> Outcome:
        host = self._settings.hostname.strip("[]")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STEP_S):
                found = await loop.getaddrinfo(host, self._settings.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError, TimeoutError) as err:
            hint = "Check the spelling, and that the gateway has a name server (Network)."
            raise _FailedError(f"the name {host} is not known", hint) from err
        addresses = ", ".join(sorted({str(each[4][0]) for each in found}))
        return "ok", f"{host} is {addresses}" if addresses != host else f"{host} is an address", ""

    async def _tcp(self) -> Outcome:
        try:
            async with asyncio.timeout(STEP_S):
                _, writer = await asyncio.open_connection(
                    self._settings.hostname.strip("[]"), self._settings.port
                )
        except TimeoutError as err:
            hint = "Check the address and port; a firewall may drop the connection."
            raise _FailedError(f"{self._at} does not answer", hint) from err
        except OSError as err:
            hint = "Check the port (1883 without TLS, 8883 with), and that the broker runs."
            raise _FailedError(_of_tcp(err, self._at), hint) from err
        writer.close()
        return "ok", f"{self._at} accepts connections", ""

    async def _tls(self) -> Outcome:
        if not self._settings.uses_tls:
            return "skipped", "not encrypted: the host starts with mqtt://", ""
        try:
            return "ok", await asyncio.wait_for(asyncio.to_thread(self._handshake), 2 * STEP_S), ""
        except (ValueError, ssl.SSLError, OSError, TimeoutError) as err:
            text = reason_of(err, self._settings).removeprefix("TLS: ")
            if refusal_of_ours(err):
                raise _FailedError(text, hint_of(err, self._settings.tls, "broker")) from err
            shown = await asyncio.to_thread(
                shown_by, self._settings.hostname.strip("[]"), self._settings.port, STEP_S
            )
            if shown is None:
                hint = "Does this port speak TLS? Without TLS the host starts with mqtt://."
                raise _FailedError(text, hint) from err
            raise _FailedError(
                f"{text}. The broker shows: {describe(shown)}", hint_of(err, self._settings.tls, "broker")
            ) from err

    def _handshake(self) -> str:
        host = self._settings.hostname.strip("[]")
        context = tls_context(self._settings.tls)
        with (
            socket.create_connection((host, self._settings.port), timeout=STEP_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True) or b""
            _hear_refusal(secure)
            return f"{secure.version()}, {describe(certificate)}"

    async def _connect(self) -> Outcome:
        try:
            self._client = await self._connector.connect()
        except (MqttError, OSError, ValueError) as err:
            hint = "Check user, password and client id."
            if not self._settings.uses_tls:
                hint += " At a port that speaks TLS the host starts with mqtts://."
            raise _FailedError(reason_of(err, self._settings), hint) from err
        who = self._settings.user or "anybody"
        return "ok", f"the broker speaks MQTT {self._connector.protocol} and lets {who} in", ""

    async def _publish(self) -> Outcome:
        """MQTT 5 says when it refuses; MQTT 3.1.1 does not, so the message must come back."""
        client, topic = self._connected, f"{self._settings.prefix_sub}/test/{secrets.token_hex(4)}"
        try:
            hears = client.is_5 or _granted(await client.subscribe(topic, qos=0))
            await client.publish(topic, b"test", 1, timeout=STEP_S)
        except MqttError as err:
            raise _FailedError(reason_of(err, self._settings), self._rights) from err
        if client.refusals:
            code = next(iter(client.refusals.values()))
            raise _FailedError(f"the broker refuses to publish on {topic} (0x{code:02x})", self._rights)
        if client.is_5 or (hears and await _came_back(client, topic)):
            return "ok", f"may publish under {self._settings.prefix_sub}", ""
        text = "sent, but MQTT 3.1.1 does not tell whether the broker passes it on"
        return "unknown", text, self._rights

    async def _subscribe(self) -> Outcome:
        if not self._settings.accept_commands:
            return "skipped", "commands are switched off", ""
        topic = self._topics.commands
        try:
            granted = _granted(await self._connected.subscribe(topic, qos=1))
        except MqttError as err:
            raise _FailedError(reason_of(err, self._settings), self._rights) from err
        if not granted:
            raise _FailedError(f"the broker refuses to deliver {topic}", self._rights)
        return "ok", f"hears commands under {self._settings.prefix_pub}", ""

    @property
    def _connected(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def _rights(self) -> str:
        settings = self._settings
        return f"The user needs write access to {settings.prefix_sub}/# and read access to {settings.prefix_pub}/#."


def _hear_refusal(secure: ssl.SSLSocket) -> None:
    """With TLS 1.3 a peer looks at our certificate after the handshake. Raises `ssl.SSLError` when it refuses.

    A broker says nothing of its own before it has a CONNECT, so silence is consent.
    """
    secure.settimeout(REFUSAL_S)
    with suppress(TimeoutError):
        secure.recv(1)


def _granted(codes: object) -> bool:
    return not any(getattr(code, "is_failure", code == 128) for code in codes)  # type: ignore[attr-defined]


async def _came_back(client: Client, topic: str) -> bool:
    try:
        async with asyncio.timeout(ECHO_S):
            async for message in client.messages:
                if str(message.topic) == topic:
                    return True
    except TimeoutError:
        return False
    return False


def _of_tcp(err: OSError, at: str) -> str:
    """asyncio's own text names its call and the address as Python writes it."""
    if isinstance(err, ConnectionRefusedError):
        return f"nobody listens at {at}"
    return f"{at}: {os.strerror(err.errno) if err.errno else err}"
