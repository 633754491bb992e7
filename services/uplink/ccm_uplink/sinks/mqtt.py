"""An MQTT broker as a sink, with its status, its commands and its companions.

QoS 2 holds a session at the broker and its own side of it on disk, so that each message arrives once; QoS 0 and 1
begin each connection clean, and what was sent and not acknowledged is sent again.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from ccm_contracts.config.services import Mqtt
from ccm_contracts.types import format_ts
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_uplink.commands import Commands
from ccm_uplink.meter import EXHAUSTED_LATENCY_S
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.mqtt_client import Client, MqttError, Will
from ccm_uplink.sinks.mqtt_commands import Listener
from ccm_uplink.sinks.mqtt_connect import Connector, leave
from ccm_uplink.sinks.mqtt_errors import reason_of
from ccm_uplink.sinks.mqtt_memory import Memory, await_subscribers, memory_of
from ccm_uplink.sinks.mqtt_odds import Odds
from ccm_uplink.sinks.mqtt_parcels import Consignment, consignments
from ccm_uplink.sinks.mqtt_place import Place
from ccm_uplink.sinks.mqtt_session import Session
from ccm_uplink.sinks.mqtt_store import SessionStore, store_path
from ccm_uplink.sinks.mqtt_wire import NOBODY
from ccm_uplink.sinks.together import all_until_end, cancelled
from ccm_uplink.topics import Topics

log = logging.getLogger(__name__)

GOODBYE_S: Final = 2.0
CONNECTED_S: Final = 10.0
"""How long a batch waits for a connection before the pump is told that there is none."""
RETRY_FIRST_S: Final = 0.5
RETRY_CEILING_S: Final = 5.0
STATUS_S: Final = 60.0
"""How often the status is published anew while connected; each hour when the day's budget is used up."""


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
        place: Place,
        *,
        commands: Commands,
        companions: Sequence[Companion] = (),
    ) -> None:
        """`settings` have the address of the broker to use."""
        self._settings = settings
        self._bus = place.bus
        self._report = place.report
        self._topics = Topics(settings.prefix_sub, settings.prefix_pub)
        self._commands = commands
        self._companions = companions
        self._turn = place.turn
        self._connector = Connector(
            settings,
            settings.client_id or place.bus.gateway,
            keeps=settings.qos == 2,
            passed=place.report.passed,
        )
        self._store = SessionStore(store_path(place.data_dir, settings, self._connector.identifier))
        self._confirmed = place.recent
        self._recent = place.recent if settings.qos == 1 else None
        self._session: Session | None = None
        self._connected = asyncio.Event()
        self._ready = asyncio.Event()
        """The connection takes messages of the outbox."""
        self._odds = Odds()
        self._is_refused = False
        """The broker let us in and did not take what we sent: nothing was accepted since."""
        self._was_heard = False
        """Before this connection: somebody was subscribed to the status, as far as the broker says."""

    # --- the connection ------------------------------------------------------------------------------

    async def run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        if self._recent is None:
            await self._confirmed.settle_all()
        if self._settings.qos == 2:
            await asyncio.to_thread(self._store.load)
        while True:
            await self._turn.fresh()
            try:
                await self._live(backoff)
            except (MqttError, OSError, ValueError) as err:  # ssl's errors are OSErrors
                self._report.down(reason_of(err, self._settings))
            await asyncio.sleep(backoff.next())

    async def _live(self, backoff: Backoff) -> None:
        """One connection, from its beginning to its end. Raises `MqttError`, `OSError` and `ValueError`."""
        will = self._status(online=False)
        offline = Will(self._topics.status, will, min(1, self._settings.qos), retain=True)
        if self._settings.qos == 2 and self._store.begins_anew:
            await self._begin_anew()
        client = await self._connector.connect(offline)
        session = Session(client, self._settings.qos, self._store, self._parcels, self._recent)
        try:
            if self._settings.qos == 2:
                await session.resume()
            if self._odds.is_finishing:
                await all_until_end(
                    [_gone(client), session.over.wait(), session.release(), session.finished()]
                )
                return
            listener, memory = await self._greeted(client, session)
            self._confirmed.last_will = will
            stop_if_cancelled()
            await self._serve(client, session, listener, memory)
        except asyncio.CancelledError:
            with suppress(MqttError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):  # an orderly end sends no last will
                    await self._say(client, online=False)
                    if self._recent is not None:
                        await self._recent.settle_all()
            raise
        finally:
            await self._judge(client, session)
            if session.accepted.is_set():
                backoff.reset()
            await leave(client, GOODBYE_S)

    async def _begin_anew(self) -> None:
        """A session that the broker kept for somebody with our name, but whose handshakes we do not know.

        Its end is a connection of its own: what begins with a clean start Mosquitto 2.0 does not save.
        """
        await leave(await self._connector.connect(keeps=False), GOODBYE_S)
        self._store.begins_anew = False

    def _status(self, *, online: bool) -> bytes:
        """The last will carries the time of the connection's beginning: it is laid down there."""
        fixed = {
            "online": online,
            "ts": format_ts(self._bus.clock.now()),
            "gateway": self._bus.gateway,
            "version": self._bus.version,
        }
        return json.dumps(fixed | (self._report.facts() if online else {})).encode()

    async def _say(self, client: Client, *, online: bool) -> bool:
        """Whether somebody is subscribed to it, as far as the broker says."""
        qos = min(1, self._settings.qos)
        await client.publish(self._topics.status, self._status(online=online), qos, retain=True)
        return client.reason != NOBODY

    async def _greet(self, client: Client) -> tuple[Listener, Memory]:
        listener = Listener(client, self._topics, self._commands)
        # A kept session queues QoS 1 and 2 for an absent gateway: no relay switches hours later.
        qos = 0 if self._settings.qos == 2 else 1
        if self._settings.accept_commands and not await listener.subscribe(qos):
            text = f"the broker refuses to deliver {self._topics.commands}"
            self._bus.event("mqtt-commands", "warning", text)
        say = partial(self._say, client, online=True)
        if self._settings.qos and (self._confirmed.last_will or self._report.ledger.has_delivered):
            return listener, await memory_of(client, self._topics.status, self._confirmed.last_will, say)
        self._was_heard = await say()
        return listener, Memory.WHOLE

    async def _greeted(self, client: Client, session: Session) -> tuple[Listener, Memory]:
        """Raises `MqttError` as soon as the connection ends, too: aiomqtt would go on waiting for an answer."""
        greeting = asyncio.ensure_future(self._greet(client))
        ends = [asyncio.ensure_future(each.wait()) for each in (client.gone, session.over)]
        try:
            await asyncio.wait([greeting, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not greeting.done():
                raise MqttError(session.error or "the connection was lost")
            return greeting.result()
        finally:
            await cancelled([greeting, *ends])

    async def _serve(self, client: Client, session: Session, listener: Listener, memory: Memory) -> None:
        work: list[Awaitable[Any]] = [listener.run(), _gone(client), session.over.wait(), session.release()]
        work += [self._keep_status(client), *(each.run(client) for each in self._companions)]
        work += [self._begin(client, session, memory), session.jot(), self._taken_over()]
        work += [self._up_when_accepted(session)]
        if self._recent is not None:
            work += [_until_down(self._recent.tell_again(session.carry))]
        self._connected.set()
        if not self._is_refused:
            self._report.up()
        try:
            await all_until_end(work, before_cancel=partial(self._closed, session))
            raise MqttError(session.error or "the connection was lost")
        finally:
            self._closed(session)

    def _closed(self, session: Session) -> None:
        self._session = None
        self._connected.clear()
        self._ready.set()  # who waits for it looks again
        self._ready.clear()
        session.end("the connection to the broker was lost")

    async def _judge(self, client: Client, session: Session) -> None:
        """Whether the session at the broker is of use, after a connection with it."""
        session.end("the connection to the broker was lost")
        with suppress(OSError):
            await self._store.jot()
        self._is_refused = self._is_refused or bool(session.refusal)
        is_over = self._odds.is_over(
            {client.ended_by, session.refusal},
            in_flight=len(self._store.in_flight),
            accepted=session.accepted.is_set(),
        )
        if is_over:
            reason = client.ended_by or session.refusal
            log.warning("the broker's session is given up", extra={"reason": reason})
            self._store.begins_anew = True

    async def _begin(self, client: Client, session: Session, memory: Memory) -> None:
        """Take messages of the outbox, once a broker that forgot has its subscribers and what it confirmed again."""
        if memory is not Memory.WHOLE:
            say = partial(self._say, client, online=True)
            self._was_heard = await await_subscribers(say, were_there=self._was_heard)
            if self._recent is not None:
                await _until_down(self._recent.repeat(session.carry))
        if not session.over.is_set():
            self._session = session
            self._ready.set()
        if self._recent is not None:
            await self._recent.keep_settling()

    async def _up_when_accepted(self, session: Session) -> None:
        """A broker that lets us in and refuses to take anything is no link."""
        await session.accepted.wait()
        if self._is_refused:
            self._is_refused = False
            self._report.up()

    async def _taken_over(self) -> None:
        """To a broker two uplinks are one client: it throws out the first."""
        await self._turn.lost()
        raise MqttError("another uplink delivers now")

    async def _keep_status(self, client: Client) -> None:
        silent_s = 0.0
        while True:
            await asyncio.sleep(STATUS_S)
            silent_s += STATUS_S
            if silent_s >= EXHAUSTED_LATENCY_S or not self._report.is_used_up():
                silent_s = 0.0
                self._was_heard = await self._say(client, online=True) or self._was_heard

    # --- to the broker -------------------------------------------------------------------------------

    async def deliver(self, batch: Handover) -> None:
        session = await self._session_now()
        for delivery in batch.left() if self._companions else ():
            for companion in self._companions:
                companion.see(delivery)
        await session.carry(batch)

    async def _session_now(self) -> Session:
        while self._session is None:
            try:
                async with asyncio.timeout(CONNECTED_S):
                    await self._connected.wait()
            except TimeoutError as err:
                raise SinkDownError(self._report.error or "there is no connection to the broker") from err
            await self._ready.wait()
        return self._session

    def _parcels(self, deliveries: Sequence[Delivery]) -> list[Consignment]:
        return consignments(deliveries, self._settings, self._topics)


async def _until_down(work: Awaitable[None]) -> None:
    """The end of the connection ends it; who watches that says why."""
    with suppress(SinkDownError):
        await work


async def _gone(client: Client) -> None:
    await client.gone.wait()
    raise MqttError("the connection was lost")
