"""Why a device has no readings for a while. Blocking: runs in the reader's thread.

The reason comes from the events of the time, from the sequence numbers on both sides, and from what the other devices
and the other services did meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, select

from ccm_contracts.types import format_ts
from ccm_contracts.verbs.uplink import GapReason
from ccm_uplink.history.paging import instant_of
from ccm_uplink.history.tables import device, event, late_reading, reading

LEFT_OUT: Final = ("device-removed", "device-disabled")
DEVICE: Final = ("device-online", "device-offline", *LEFT_OUT)
LINE: Final = ("line-open", "line-closed")
READER: Final = "bus-reader"
STARTED: Final = "service-started"
TOGETHER_MS: Final = 60_000
"""What starts within so long of each other was started by the gateway's own start."""
MOST_FALLS: Final = 1000
AFTER_MS: Final = 5_000
"""A balance has the time of the readings that it is of: the first one may be that much older than solar's start."""

Why = tuple[GapReason, str]


@dataclass(frozen=True, slots=True)
class Hole:
    """Between two readings; `before` and `after` are their sequence numbers, where they are known."""

    start_ms: int
    end_ms: int
    before: int | None = None
    after: int | None = None


class Reasons:
    """Why one device has no readings."""

    def __init__(self, connection: Connection, gateway: str, found: Row[Any]) -> None:
        self._connection = connection
        self._gateway = gateway
        self._device = found
        self._falls: dict[int, list[tuple[int, int]]] = {}
        self._line = self._last(("device-online", "device-offline"), found.name, None)

    def of(self, hole: Hole, slack_ms: int) -> Why:
        """The first that fits."""
        return (
            self._dead(hole, slack_ms)
            or self._clock(hole, slack_ms)
            or self._off(hole, slack_ms)
            or self._full(hole)
            or self._lost(hole)
            or ("unknown", "")
        )

    def _last(self, kinds: tuple[str, ...], about: str, until_ms: int | None) -> Row[Any] | None:
        wanted = select(event).where(
            event.c.gateway == self._gateway, event.c.kind.in_(kinds), event.c.about == about
        )
        if until_ms is not None:
            wanted = wanted.where(event.c.ts_ms < until_ms)
        return self._connection.execute(wanted.order_by(event.c.ts_ms.desc()).limit(1)).one_or_none()

    def _told(self, kinds: tuple[str, ...], about: str, hole: Hole) -> Row[Any] | None:
        """What holds in the hole; that all is well again is told just before its end. `kinds`: that one first."""
        told = self._last(kinds, about, hole.end_ms)
        if told is not None and told.kind == kinds[0] and told.ts_ms > hole.start_ms:
            return self._last(kinds, about, told.ts_ms)
        return told

    def _dead(self, hole: Hole, slack_ms: int) -> Why | None:
        told = self._told(DEVICE, self._device.name, hole)
        if told is not None and told.kind in LEFT_OUT:
            return "not-configured", told.message
        line = self._line.line if self._line is not None else ""
        closed = self._told(LINE, line, hole) if line else None
        if closed is not None and closed.kind == "line-closed":
            return "line-closed", closed.message
        if told is None and self._device.is_plant:
            told = self._first_dead(hole, slack_ms)
        if told is not None and told.kind == "device-offline":
            return "device-dead", told.message
        return None

    def _first_dead(self, hole: Hole, slack_ms: int) -> Row[Any] | None:
        """Of a plant that is silent with all devices: the first that died then."""
        if self._spoke("devices", hole.start_ms + slack_ms, hole.end_ms - slack_ms):
            return None
        wanted = select(event).where(
            event.c.gateway == self._gateway,
            event.c.kind == "device-offline",
            event.c.ts_ms >= hole.start_ms - TOGETHER_MS,
            event.c.ts_ms < hole.end_ms,
        )
        return self._connection.execute(wanted.order_by(event.c.ts_ms).limit(1)).one_or_none()

    def _clock(self, hole: Hole, slack_ms: int) -> Why | None:
        """Readings of the time are there, under other stamps; those of a plant's devices count for it."""
        for device_id, before, after in self._numbers(hole, slack_ms):
            if before is None or after is None or after - before < 2:
                continue
            if number := self._elsewhere(hole, device_id, before, after):
                text = f"{number} readings of this time carry another time: the clock was set later"
                return "clock-not-set", text
        return None

    def _numbers(self, hole: Hole, slack_ms: int) -> Iterator[tuple[int, int | None, int | None]]:
        """Of each device that tells: its id, and the sequence numbers on both sides of the hole."""
        if not self._device.is_plant:
            yield self._device.id, hole.before, hole.after
            return
        if self._spoke("devices", hole.start_ms + slack_ms, hole.end_ms - slack_ms):
            return
        devices = select(device.c.id).where(
            device.c.gateway == self._gateway, device.c.is_plant.is_(False), device.c.readings > 0
        )
        for at in self._connection.scalars(devices).all():
            mine = select(reading.c.seq).where(reading.c.device_id == at).limit(1)
            before = mine.where(reading.c.ts_ms <= hole.start_ms + slack_ms).order_by(reading.c.ts_ms.desc())
            after = mine.where(reading.c.ts_ms >= hole.end_ms - slack_ms).order_by(reading.c.ts_ms)
            yield at, self._connection.scalar(before), self._connection.scalar(after)

    def _elsewhere(self, hole: Hole, device_id: int, before: int, after: int) -> int:
        """How many readings between two numbers are stored outside the hole."""
        number = 0
        # What a clock stamps that is years behind is too old to be kept singly.
        is_in = [any(before < seq < after for seq in pair) for pair in self._falls_of(device_id)]
        for table in (reading, late_reading) if any(is_in) else (late_reading,):
            wanted = select(func.count()).where(
                table.c.device_id == device_id,
                table.c.seq > before,
                table.c.seq < after,
                (table.c.ts_ms < hole.start_ms) | (table.c.ts_ms > hole.end_ms),
            )
            number += self._connection.scalar(wanted) or 0
        return number

    def _falls_of(self, device_id: int) -> list[tuple[int, int]]:
        """Where numbers fall in the order of time: both of them. One pass over the ledger for all holes."""
        if device_id not in self._falls:
            before = func.lag(reading.c.seq).over(order_by=(reading.c.ts_ms, reading.c.seq)).label("before")
            pairs = select(reading.c.seq, before).where(reading.c.device_id == device_id).subquery()
            wanted = select(pairs).where(pairs.c.seq < pairs.c.before).limit(MOST_FALLS)
            self._falls[device_id] = [(row.before, row.seq) for row in self._connection.execute(wanted)]
        return self._falls[device_id]

    def _off(self, hole: Hole, slack_ms: int) -> Why | None:
        """Who says it was off or stood still, and all that depends on it was silent."""
        start_ms, end_ms = hole.start_ms + slack_ms, hole.end_ms - slack_ms
        if self._device.is_plant and self._spoke("devices", start_ms, end_ms):
            return self._started_anew("solar", hole, start_ms)
        if (anew := self._started_anew(READER, hole, start_ms)) is not None:
            return anew
        if end_ms <= start_ms or self._spoke("devices", start_ms, end_ms) or self._told_in(start_ms, end_ms):
            return None
        if self._starts(0, hole.start_ms):
            is_lost = hole.before is not None and hole.after is not None and hole.after - hole.before > 1
            return (
                None
                if is_lost
                else ("service-off", f"{READER} was silent, and the gateway did not start anew")
            )
        if self._spoke("plants", start_ms, end_ms):
            return None
        return "gateway-off", "no device was read and nothing was reported"

    def _started_anew(self, service: str, hole: Hole, quiet_ms: int) -> Why | None:
        """The service started in the hole, and nothing came of it from `quiet_ms` until then."""
        end_ms = hole.end_ms + (AFTER_MS if self._device.is_plant else 0)
        started_ms = self._connection.scalar(
            select(func.min(event.c.ts_ms)).where(
                *self._started(hole.start_ms, end_ms), event.c.source == service
            )
        )
        if started_ms is None or (service == READER and self._spoke("devices", quiet_ms, started_ms)):
            return None
        when = format_ts(instant_of(started_ms))
        near = self._starts(started_ms - TOGETHER_MS, started_ms + TOGETHER_MS) - {service}
        if near and not self._spoke("devices" if service == "solar" else "plants", quiet_ms, started_ms):
            return "gateway-off", f"{service} and {', '.join(sorted(near))} started at {when}"
        return "service-off", f"{service} was off; it started at {when}"

    def _starts(self, start_ms: int, end_ms: int) -> set[str]:
        """The services that started then."""
        wanted = select(event.c.source).where(*self._started(start_ms, end_ms)).distinct()
        return set(self._connection.scalars(wanted))

    def _started(self, start_ms: int, end_ms: int) -> tuple[ColumnElement[bool], ...]:
        return (
            event.c.gateway == self._gateway,
            event.c.kind == STARTED,
            event.c.ts_ms >= start_ms,
            event.c.ts_ms <= end_ms,
        )

    def _spoke(self, who: Literal["devices", "plants"], start_ms: int, end_ms: int) -> bool:
        """Others than the one in question."""
        others = select(device.c.id).where(
            device.c.gateway == self._gateway,
            device.c.id != self._device.id,
            device.c.is_plant.is_(who == "plants"),
        )
        wanted = select(reading.c.ts_ms).where(
            reading.c.device_id.in_(others), reading.c.ts_ms > start_ms, reading.c.ts_ms < end_ms
        )
        return self._connection.execute(wanted.limit(1)).first() is not None

    def _told_in(self, start_ms: int, end_ms: int) -> bool:
        """Something was reported of a device or a line."""
        wanted = select(event.c.ts_ms).where(
            event.c.gateway == self._gateway,
            event.c.kind != STARTED,
            event.c.ts_ms > start_ms,
            event.c.ts_ms < end_ms,
        )
        return self._connection.execute(wanted.limit(1)).first() is not None

    def _full(self, hole: Hole) -> Why | None:
        """An overrun is told once a round was too long: of the first long one a little after it."""
        line = self._line.line if self._line is not None else ""
        if not line:
            return None
        told = self._last(("overrun", "overrun-ended"), line, hole.end_ms)
        if told is None or (told.kind == "overrun-ended" and told.ts_ms <= hole.start_ms):
            told = self._last(("overrun",), line, 2 * hole.end_ms - hole.start_ms)
            if told is None or told.ts_ms < hole.end_ms:
                return None
        return "line-full", told.message

    def _lost(self, hole: Hole) -> Why | None:
        if hole.before is None or hole.after is None or hole.after - hole.before < 2:
            return None
        return "lost", f"{hole.after - hole.before - 1} readings were taken and did not arrive"
