"""What is under way on one connection: a bounded window of messages, each finished by the broker's confirmation.

At QoS 2 it resumes what a former connection, or a killed process, left in the `SessionStore`.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ccm_kit.bus import Delivery
from ccm_uplink.sinks import mqtt_wire as wire
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.mqtt_client import OWN_IDS, Client
from ccm_uplink.sinks.mqtt_odds import QUOTA
from ccm_uplink.sinks.mqtt_parcels import GZIPPED, Consignment, key_of
from ccm_uplink.sinks.mqtt_recent import Recent
from ccm_uplink.sinks.mqtt_store import Parcel, SessionStore

WINDOW: Final = 20
"""Messages on their way to the broker at once; fewer when the broker says so."""
RESERVE: Final = 4
"""Places that a window of QoS 2 leaves to status and answers: a broker hangs up when its receive maximum is exceeded,
and after an outage the whole window may be open.
"""
JOT_S: Final = 0.02
"""From a PUBCOMP to the note of it; most go with what is written before."""
CONFIRM_S: Final = 30.0
"""Longest wait for a confirmation; then the connection is given up and made anew."""
UNFIT: Final = {0x90: "the topic is invalid", 0x95: "it is too large", 0x99: "its format is invalid"}
"""Reason codes that condemn the message; every other refusal condemns the connection (MQTT 5 section 2.4)."""
_NO: Final = {0x87: "permission: the broker does not allow", QUOTA: "quota: the broker has had enough of"}

Pack = Callable[[Sequence[Delivery]], list[Consignment]]
"""Makes MQTT messages of messages of the bus."""
Packed = dict[str, bytes]
_PLAIN: Final[Packed] = {"application/json": b"", GZIPPED: b""}
_FIVE: Final[Packed] = {
    "application/json": wire.properties_of("application/json"),
    GZIPPED: wire.properties_of("application/json", **{"content-encoding": "gzip"}),
}
"""What MQTT 5 says about a payload; MQTT 3.1.1 says nothing, and gzip is known by its first two bytes, 1f 8b."""


class _Trip:
    """One batch on its way: what has arrived since it last looked."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.arrived: list[Delivery] = []
        self.refused: list[tuple[tuple[Delivery, ...], str]] = []
        self.outstanding = 0

    def settle(self, deliveries: tuple[Delivery, ...]) -> None:
        self.arrived += deliveries
        self.outstanding -= 1
        self.wake.set()


_Passenger = tuple[_Trip, tuple[Delivery, ...]]


class Session:
    """Made when a connection is accepted; `end` when it is over. `carry` may be called by several pumps at once."""

    def __init__(
        self, client: Client, qos: int, store: SessionStore, parcels: Pack, recent: Recent | None = None
    ) -> None:
        """`recent` holds what is confirmed at QoS 1; without it that is acknowledged at once."""
        self.client = client
        self.over = asyncio.Event()
        self.error: str | None = None
        self.refusal = 0
        self.accepted = asyncio.Event()
        """The broker took something: the settings are right."""
        self._qos = qos
        self._store = store
        self._parcels = parcels
        self._recent = recent
        self._properties = _FIVE if client.is_5 else _PLAIN
        room = client.receive_maximum if client.is_5 else WINDOW
        self._limit = max(1, min(WINDOW, room - (RESERVE if qos == 2 else 0)))
        self._waiting: dict[int, list[_Passenger]] = {}
        self._trips: set[_Trip] = set()
        self._numbers = (1 + number % OWN_IDS for number in itertools.count(store.last_id))
        self._to_release: list[int] = []
        self._releasing = asyncio.Event()
        self._completed = asyncio.Event()
        self._moved = asyncio.Event()
        client.on_confirmed = self._confirmed
        client.on_drained = self._wake_all

    def end(self, error: str) -> None:
        self.error = self.error or error
        self.over.set()
        self._wake_all()

    def _wake_all(self) -> None:
        for trip in self._trips:
            trip.wake.set()

    # --- QoS 2 over connections and restarts ---------------------------------------------------------

    async def resume(self) -> None:
        """Take up the handshakes that were cut. A session that the broker lost begins anew. Raises `OSError`.

        Until its PUBREL was sent a message is published again under its id (MQTT 5 section 4.3.3 forbids it only
        after that): a broker that has it does not take it twice, one that was killed and has an older state gets it.
        """
        flights = self._store.in_flight
        if not self.client.session_present:
            for packet_id in list(flights):
                self._store.forget(packet_id)
            await self._store.flush()
            return
        packets = []
        for packet_id, flight in flights.items():
            self._waiting[packet_id] = []
            if flight.released or (flight.received and flight.repeated):
                flight.released = True
                packets.append(wire.pubrel(packet_id))
            else:
                flight.repeated = True
                packets.append(self._publish(packet_id, flight.parcel, dup=True))
        await self._store.flush()  # a PUBREC of the former connection may have come too late for its note
        self._write(packets)

    async def release(self) -> None:
        """Send PUBREL for what the broker has, once that is on disk; for ever. Raises `OSError`."""
        while True:
            await self._releasing.wait()
            self._releasing.clear()
            ready, self._to_release = self._to_release, []
            await self._store.flush()
            if self.over.is_set():
                return
            for packet_id in ready:
                self._store.released(packet_id)
            self._write([wire.pubrel(packet_id) for packet_id in ready])

    async def finished(self) -> bool:
        """True once nothing is under way: for a connection that takes nothing new."""
        try:
            async with asyncio.timeout(CONFIRM_S):
                while self._store.in_flight:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            self.end(f"MQTT: the broker did not confirm a message within {CONFIRM_S:g} s")
        return True

    async def jot(self) -> None:
        """Note soon which handshakes are over; for ever. Raises `OSError`."""
        while True:
            await self._completed.wait()
            self._completed.clear()
            await asyncio.sleep(JOT_S)
            await self._store.jot()

    # --- from the bus to the broker ------------------------------------------------------------------

    async def carry(self, batch: Handover) -> None:
        """Returns when everything is confirmed (QoS 0: written to the socket). Raises `SinkDownError`."""
        trip = _Trip()
        self._trips.add(trip)
        try:
            todo = deque(await self._boarded(batch, trip))
            while todo or trip.outstanding:
                await self._depart(trip, todo)
                await self._settled(batch, trip)
        except OSError as err:
            self.end(f"disk: {err.strerror or err}")
            raise SinkDownError(self.error or "") from err
        finally:
            self._trips.discard(trip)

    async def _boarded(self, batch: Handover, trip: _Trip) -> list[Consignment]:
        """What is to be sent. What the broker has already, or is getting, is not sent again."""
        if self._qos < 2:
            return self._parcels(batch.left())
        fresh = []
        for delivery in batch.left():
            key = key_of(delivery)
            packet_id = self._store.ids.get(key)
            if key in self._store.finished:
                await batch.done(delivery)
            elif packet_id in self._waiting:
                trip.outstanding += 1
                self._waiting[packet_id].append((trip, (delivery,)))
            else:
                fresh.append(delivery)
        return self._parcels(fresh)

    async def _depart(self, trip: _Trip, todo: deque[Consignment]) -> None:
        if self._qos == 0:
            self._write([self._publish(0, each.parcel) for each in todo])
            await self._drained(trip)
            self.accepted.set()
            for each in todo:
                trip.arrived += each.deliveries
            todo.clear()
            return
        packets = []
        while todo and len(self._waiting) < self._limit:
            each, packet_id = todo.popleft(), self._next_id()
            self._waiting[packet_id] = [(trip, each.deliveries)]
            trip.outstanding += 1
            if self._qos == 2:
                self._store.sent(packet_id, each.parcel)
            packets.append(self._publish(packet_id, each.parcel))
        if packets and self._qos == 2:
            await self._store.flush()
        self._write(packets)

    async def _settled(self, batch: Handover, trip: _Trip) -> None:
        """Wait for news, and finish what has arrived."""
        if not trip.arrived and not trip.refused:
            await self._news(trip)
        trip.wake.clear()
        arrived, trip.arrived = trip.arrived, []
        if arrived and self._recent is not None:
            await batch.arrived(*arrived)
            await self._recent.hold(batch, arrived)
        elif arrived:
            await batch.done(*arrived)
        refused, trip.refused = trip.refused, []
        for deliveries, reason in refused:
            for delivery in deliveries:
                await batch.refuse(delivery, f"the broker refuses it: {reason}")

    async def _drained(self, trip: _Trip) -> None:
        while not self.client.is_drained:
            await self._news(trip)
            trip.wake.clear()

    async def _news(self, trip: _Trip) -> None:
        self._check()
        try:
            async with asyncio.timeout(CONFIRM_S):
                await trip.wake.wait()
        except TimeoutError:
            self.end(f"MQTT: the broker did not confirm a message within {CONFIRM_S:g} s")
        if not trip.arrived and not trip.refused:
            self._check()

    def _check(self) -> None:
        if self.over.is_set():
            raise SinkDownError(self.error or "the connection to the broker was lost")

    def _next_id(self) -> int:
        return next(number for number in self._numbers if number not in self._waiting)

    def _publish(self, packet_id: int, parcel: Parcel, *, dup: bool = False) -> bytes:
        return wire.publish(
            packet_id,
            parcel.topic,
            parcel.payload,
            qos=self._qos,
            properties=self._properties[parcel.form],
            dup=dup,
        )

    def _write(self, packets: list[bytes]) -> None:
        if packets and not self.over.is_set():
            data = b"".join(packets)
            self.client.write(data)

    # --- from the broker -----------------------------------------------------------------------------

    def _confirmed(self, kind: int, packet_id: int, reason: int) -> None:
        if packet_id not in self._waiting:
            return
        if reason < wire.REFUSED_FROM:
            self.accepted.set()
        if reason >= wire.REFUSED_FROM and kind != wire.PUBCOMP:
            self._refused(packet_id, reason)
        elif kind == wire.PUBREC and self._qos == 2:
            if not self._store.in_flight[packet_id].received:
                self._store.received(packet_id)
            self._to_release.append(packet_id)
            self._releasing.set()
        elif kind == (wire.PUBCOMP if self._qos == 2 else wire.PUBACK):
            if self._qos == 2:
                self._store.complete(packet_id)
                self._completed.set()
            for trip, deliveries in self._freed(packet_id):
                trip.settle(deliveries)
                if self._recent is not None:
                    self._recent.answered(deliveries, was_heard=reason != wire.NOBODY)

    def _refused(self, packet_id: int, reason: int) -> None:
        if self._qos == 2:
            self._store.forget(packet_id)
        passengers = list(self._freed(packet_id))
        if reason in UNFIT:
            for trip, deliveries in passengers:
                trip.refused.append((deliveries, UNFIT[reason]))
                trip.settle(())
            return
        self.refusal = reason
        self.end(f"{_NO.get(reason, 'MQTT: the broker refuses')} to publish (reason 0x{reason:02x})")

    def _freed(self, packet_id: int) -> Iterator[_Passenger]:
        """Its place in the window is free: whoever waits for one looks again."""
        passengers = self._waiting.pop(packet_id)
        self._moved.set()
        for trip in self._trips:
            trip.wake.set()
        return iter(passengers)
