"""An MQTT broker as a sink, and the commands that come from it; the only module that imports aiomqtt.

Speaks MQTT 3.1.1, which the NATS server's own listener and every broker understand. Each connection is a clean
session: what was sent and not acknowledged is sent again, in order.
"""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiomqtt

from ccm_contracts.config.services import Mqtt
from ccm_contracts.types import format_ts
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus, Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_uplink.commands import Commands
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.mqtt_errors import UNANSWERED, reason_of
from ccm_uplink.sinks.tls import tls_context
from ccm_uplink.topics import Topics

log = logging.getLogger(__name__)

WINDOW: Final = 20
"""Messages on their way to the broker at once."""
ANSWER_S: Final = 10.0
"""Longest wait for the broker's CONNACK or SUBACK."""
CONFIRM_S: Final = 30.0
"""Longest wait for PUBACK or PUBCOMP; then the connection is given up and made anew."""
GOODBYE_S: Final = 2.0
CONNECTED_S: Final = 10.0
"""How long a batch waits for a connection before the pump is told that there is none."""
RETRY_FIRST_S: Final = 0.5
RETRY_CEILING_S: Final = 5.0
COMMANDS_WAITING: Final = 64
"""Unread commands; at the bound the newest is dropped, unanswered: its sender repeats it under the same id."""


@dataclass(slots=True)
class _Session:
    """One connection that was accepted."""

    client: aiomqtt.Client
    over: asyncio.Event = field(default_factory=asyncio.Event)
    window: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW))


class MqttSink:
    """Delivered means: confirmed by the broker (QoS 1, 2), or written to the connection (QoS 0)."""

    def __init__(self, settings: Mqtt, bus: Bus, report: LinkReport) -> None:
        self._settings = settings
        self._bus = bus
        self._report = report
        self._topics = Topics(settings.prefix_sub, settings.prefix_pub)
        self._commands = Commands(bus, "mqtt")
        self._answering: set[asyncio.Task[None]] = set()
        self._abandoned: set[asyncio.Task[None]] = set()
        self._session: _Session | None = None
        self._connected = asyncio.Event()

    # --- the connection ------------------------------------------------------------------------------

    async def run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while True:
            try:
                await self._live(backoff)
            except (aiomqtt.MqttError, OSError, ValueError) as err:  # ssl's errors are OSErrors
                self._report.down(reason_of(err, self._settings))
            await asyncio.sleep(backoff.next())

    async def _live(self, backoff: Backoff) -> None:
        """One connection, from its beginning to its end. Raises `MqttError` and `OSError`."""
        client = self._client()
        client.pending_calls_threshold = 2 * WINDOW
        await self._connect(client)
        try:
            await self._greet(client)
            stop_if_cancelled()
            backoff.reset()
            await self._serve(client)
        except asyncio.CancelledError:
            await self._say_goodbye(client)
            raise
        finally:
            with suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await client.__aexit__(None, None, None)

    async def _connect(self, client: aiomqtt.Client) -> None:
        """aiomqtt leaves a socket behind when it is cancelled, or when no CONNACK comes: close it later."""
        connecting = asyncio.create_task(self._enter(client), name="uplink.mqtt.connect")
        try:
            await asyncio.shield(connecting)
        except (asyncio.CancelledError, aiomqtt.MqttError) as err:
            if not isinstance(err, aiomqtt.MqttError) or str(err) == UNANSWERED:
                leaving = asyncio.create_task(_leave(connecting, client), name="uplink.mqtt.leave")
                self._abandoned.add(leaving)
                leaving.add_done_callback(self._abandoned.discard)
            raise

    @staticmethod
    async def _enter(client: aiomqtt.Client) -> None:
        await client.__aenter__()

    def _client(self) -> aiomqtt.Client:
        settings = self._settings
        return aiomqtt.Client(
            settings.hostname,
            settings.port,
            identifier=settings.client_id or self._bus.gateway,
            username=settings.user or None,
            password=settings.password.reveal() or None,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=settings.keepalive_s,
            tls_context=tls_context(settings.tls) if settings.uses_tls else None,
            will=aiomqtt.Will(self._topics.status, self._status(online=False), settings.qos, retain=True),
            timeout=ANSWER_S,
            max_queued_incoming_messages=COMMANDS_WAITING,
            max_inflight_messages=2 * WINDOW,
        )

    def _status(self, *, online: bool) -> bytes:
        """The last will carries the time of the connection's beginning: it is laid down there."""
        now = format_ts(self._bus.clock.now())
        return json.dumps({"online": online, "ts": now, "gateway": self._bus.gateway}).encode()

    async def _greet(self, client: aiomqtt.Client) -> None:
        if self._settings.accept_commands:
            codes = await client.subscribe(self._topics.commands, qos=max(1, self._settings.qos))
            if any(getattr(code, "is_failure", code == 128) for code in codes):
                self._bus.event(
                    "mqtt-commands", "warning", f"the broker refuses to deliver {self._topics.commands}"
                )
        await client.publish(self._topics.status, self._status(online=True), self._settings.qos, retain=True)

    async def _serve(self, client: aiomqtt.Client) -> None:
        session = self._session = _Session(client)
        self._connected.set()
        self._report.up()
        listening = asyncio.create_task(self._listen(client), name="uplink.mqtt.listen")
        over = asyncio.create_task(session.over.wait(), name="uplink.mqtt.over")
        try:
            await asyncio.wait({listening, over}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
            raise aiomqtt.MqttError(f"the broker did not confirm a message within {CONFIRM_S:g} s")
        finally:
            self._session = None
            self._connected.clear()
            session.over.set()
            for task in (listening, over, *self._answering):
                task.cancel()
            await asyncio.wait({listening, over, *self._answering})

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """An orderly end sends no last will, so the status says it."""
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await client.publish(
                    self._topics.status, self._status(online=False), self._settings.qos, retain=True
                )

    # --- to the broker -------------------------------------------------------------------------------

    async def deliver(self, batch: Handover) -> None:
        session = await self._session_now()
        work = asyncio.create_task(self._publish_all(session, batch), name="uplink.mqtt.publish")
        over = asyncio.create_task(session.over.wait(), name="uplink.mqtt.lost")
        try:
            await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            work.cancel()
            await asyncio.wait({work})
        self._judge(work)

    def _judge(self, work: "asyncio.Task[None]") -> None:
        """Raise `SinkDownError` when the connection failed, and what else went wrong as it is."""
        err = None if work.cancelled() else work.exception()
        if isinstance(err, BaseExceptionGroup):
            _, other = err.split(aiomqtt.MqttError)
            if other is not None:
                raise other.exceptions[0]
        if work.cancelled() or err is not None:
            raise SinkDownError(self._report.error or "the connection to the broker was lost")

    async def _session_now(self) -> _Session:
        try:
            async with asyncio.timeout(CONNECTED_S):
                while self._session is None:
                    await self._connected.wait()
        except TimeoutError as err:
            raise SinkDownError(self._report.error or "there is no connection to the broker") from err
        return self._session

    async def _publish_all(self, session: _Session, batch: Handover) -> None:
        """In order, up to `WINDOW` at once: a task's message is on its way before the next task starts."""
        async with asyncio.TaskGroup() as tasks:
            for delivery in batch.left():
                await session.window.acquire()
                tasks.create_task(self._publish(session, batch, delivery), name="uplink.mqtt.message")

    async def _publish(self, session: _Session, batch: Handover, delivery: Delivery) -> None:
        topic = self._topics.of(delivery.channel, delivery.ids)
        try:
            await session.client.publish(topic, delivery.payload, self._settings.qos, timeout=CONFIRM_S)
        except aiomqtt.MqttError:
            session.over.set()
            raise
        finally:
            session.window.release()
        await batch.done(delivery)

    # --- from the broker -----------------------------------------------------------------------------

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            task = asyncio.create_task(self._answer(client, message), name="uplink.mqtt.command")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic, payload = str(message.topic), _bytes_of(message.payload)
        target = self._topics.command_in(topic)
        if target is None:
            return
        reply = await self._commands.answer(target, payload, where=topic, is_retained=bool(message.retain))
        with suppress(aiomqtt.MqttError):
            answer_to = self._topics.result(reply.command_id or UNNAMED)
            await client.publish(answer_to, reply.payload, self._settings.qos, timeout=ANSWER_S)


UNNAMED: Final = "refused"
"""The last level of the result's topic where a command has no id that can be read."""


def _bytes_of(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else str(payload).encode()


async def _leave(connecting: "asyncio.Task[None]", client: aiomqtt.Client) -> None:
    with suppress(aiomqtt.MqttError):
        await connecting
    with suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)
