"""When a device has no readings, and why. Blocking: runs in the reader's thread.

Gaps are found in the ledger of readings; before it begins, in the minutes of the rollups. The reason comes from the
events of the time, from the sequence numbers on both sides, and from what the other devices did meanwhile.
"""

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, Row, Subquery, func, literal_column, select

from ccm_contracts.verbs.uplink import Gap, GapReason, GapsAnswer, GapsQuery
from ccm_uplink.history.calendar import MINUTE_MS
from ccm_uplink.history.levels import RAW
from ccm_uplink.history.paging import instant_of
from ccm_uplink.history.roller import series_of
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.state import floors
from ccm_uplink.history.tables import device, event, m1, reading

MOST_GAPS: Final = 500
MISSED: Final = 3
"""So many intervals without a reading are a gap."""
LEAST_MS: Final = 2000
LOOKED_AT: Final = 500
"""Readings from which the usual interval is taken."""
BESIDE: Final = 5
"""Intervals before or after a gap that it must stand out from."""
DEFAULT_MS: Final = 60_000
"""The usual interval of a device with fewer than three readings."""

LEFT_OUT: Final = ("device-removed", "device-disabled")
DEVICE: Final = ("device-online", "device-offline", *LEFT_OUT)
LINE: Final = ("line-open", "line-closed")

Why = tuple[GapReason, str]


@dataclass(frozen=True, slots=True)
class _Hole:
    """Between two readings; `before` and `after` are their sequence numbers, where they are known."""

    start_ms: int
    end_ms: int
    before: int | None = None
    after: int | None = None


def gaps_in(connection: Connection, gateway: str, query: GapsQuery, now_ms: int) -> GapsAnswer:
    found = connection.execute(
        select(device).where(device.c.gateway == gateway, device.c.name == query.device)
    ).one_or_none()
    if found is None or not found.readings:
        return GapsAnswer(gaps=[])
    start_ms, end_ms = ms_of(query.start), min(ms_of(query.end), now_ms)
    floor_ms = floors(connection, gateway)[RAW.name]
    holes: list[_Hole] = []
    expected_ms = MINUTE_MS
    if start_ms < floor_ms:
        minutes = _minutes(connection, found.id)
        holes += _holes(connection, minutes, (start_ms, min(floor_ms, end_ms)), MINUTE_MS)
    if end_ms > floor_ms:
        stamps = select(reading.c.ts_ms, reading.c.seq).where(reading.c.device_id == found.id).subquery()
        span = max(start_ms, floor_ms), end_ms
        expected_ms = _usual_ms(connection, found.id, span)
        found_holes = _holes(connection, stamps, span, expected_ms)
        holes += [hole for hole in found_holes if _is_hole(connection, found.id, hole)]
    reasons = _Reasons(connection, gateway, found)
    shown = holes[:MOST_GAPS]
    gaps = [_gap(hole, reasons.of(hole, expected_ms * MISSED)) for hole in shown]
    after = instant_of(shown[-1].end_ms) if len(holes) > MOST_GAPS else None
    return GapsAnswer(gaps=gaps, expected_s=expected_ms / 1000, next_from=after)


def _gap(hole: _Hole, why: Why) -> Gap:
    start, end = instant_of(hole.start_ms), instant_of(hole.end_ms)
    return Gap(start=start, end=end, reason=why[0], detail=why[1])


def _minutes(connection: Connection, at: int) -> Subquery:
    ids, _ = series_of(connection, at)
    return (
        select(m1.c.ts_ms, literal_column("NULL").label("seq"))
        .where(m1.c.series_id.in_(ids))
        .group_by(m1.c.ts_ms)
        .subquery()
    )


def _usual_ms(connection: Connection, at: int, span: tuple[int, int]) -> int:
    wanted = (
        select(reading.c.ts_ms)
        .where(reading.c.device_id == at, reading.c.ts_ms >= span[0], reading.c.ts_ms < span[1])
        .order_by(reading.c.ts_ms)
        .limit(LOOKED_AT)
    )
    stamps = list(connection.scalars(wanted))
    steps = [after - before for before, after in pairwise(stamps) if after > before]
    return int(statistics.median(steps)) if len(steps) > 1 else DEFAULT_MS


def _holes(connection: Connection, stamps: Subquery, span: tuple[int, int], expected_ms: int) -> list[_Hole]:
    """Where neighbours are too far apart, and the borders of the range, in the order of time."""
    start_ms, end_ms = span
    least_ms = max(LEAST_MS, MISSED * expected_ms)
    inside = select(stamps).where(stamps.c.ts_ms >= start_ms, stamps.c.ts_ms < end_ms).subquery()
    order = (inside.c.ts_ms, inside.c.seq)
    pairs = select(
        inside.c.ts_ms,
        inside.c.seq,
        func.lead(inside.c.ts_ms).over(order_by=order).label("next_ms"),
        func.lead(inside.c.seq).over(order_by=order).label("next_seq"),
    ).subquery()
    wanted = (
        select(pairs)
        .where(pairs.c.next_ms - pairs.c.ts_ms > least_ms)
        .order_by(pairs.c.ts_ms)
        .limit(MOST_GAPS + 1)
    )
    found = [_Hole(row.ts_ms, row.next_ms, row.seq, row.next_seq) for row in connection.execute(wanted)]
    first, last = connection.execute(select(func.min(inside.c.ts_ms), func.max(inside.c.ts_ms))).one()
    has_before = (
        connection.scalar(select(stamps.c.ts_ms).where(stamps.c.ts_ms < start_ms).limit(1)) is not None
    )
    if first is None:
        return [_Hole(start_ms, end_ms)] if has_before else []
    if has_before and first - start_ms > least_ms:
        found.insert(0, _Hole(start_ms, first))
    if end_ms - last > least_ms:
        found.append(_Hole(last, end_ms))
    return found


def _is_hole(connection: Connection, at: int, hole: _Hole) -> bool:
    """Whether it is long beside the intervals just before or after it: a device may be read more often since."""
    mine = select(reading.c.ts_ms).where(reading.c.device_id == at).limit(BESIDE + 1)
    before = mine.where(reading.c.ts_ms <= hole.start_ms).order_by(reading.c.ts_ms.desc())
    after = mine.where(reading.c.ts_ms >= hole.end_ms).order_by(reading.c.ts_ms)
    for wanted in (before, after):
        steps = [abs(later - sooner) for sooner, later in pairwise(connection.scalars(wanted))]
        if len(steps) == BESIDE:
            usual_ms: float = statistics.median(steps)
            return hole.end_ms - hole.start_ms > MISSED * usual_ms
    return True


class _Reasons:
    """Why one device has no readings."""

    def __init__(self, connection: Connection, gateway: str, found: Row[Any]) -> None:
        self._connection = connection
        self._gateway = gateway
        self._device = found
        self._line = self._last(("device-online", "device-offline"), found.name, None)

    def of(self, hole: _Hole, slack_ms: int) -> Why:
        """The first that fits."""
        return (
            self._dead(hole)
            or self._clock(hole)
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

    def _told(self, kinds: tuple[str, ...], about: str, hole: _Hole) -> Row[Any] | None:
        """What holds in the hole; that all is well again is told just before its end. `kinds`: that one first."""
        told = self._last(kinds, about, hole.end_ms)
        if told is not None and told.kind == kinds[0] and told.ts_ms > hole.start_ms:
            return self._last(kinds, about, told.ts_ms)
        return told

    def _dead(self, hole: _Hole) -> Why | None:
        told = self._told(DEVICE, self._device.name, hole)
        if told is not None and told.kind in LEFT_OUT:
            return "not-configured", told.message
        line = self._line.line if self._line is not None else ""
        closed = self._told(LINE, line, hole) if line else None
        if closed is not None and closed.kind == "line-closed":
            return "line-closed", closed.message
        if told is not None and told.kind == "device-offline":
            return "device-dead", told.message
        return None

    def _clock(self, hole: _Hole) -> Why | None:
        """Readings of the time are there, under other stamps."""
        if hole.before is None or hole.after is None or hole.after - hole.before < 2:
            return None
        wanted = select(func.count()).where(
            reading.c.device_id == self._device.id, reading.c.seq > hole.before, reading.c.seq < hole.after
        )
        number = self._connection.scalar(wanted) or 0
        if not number:
            return None
        return "clock-not-set", f"{number} readings of this time carry another time: the clock was set later"

    def _off(self, hole: _Hole, slack_ms: int) -> Why | None:
        """Nobody else said anything either."""
        start_ms, end_ms = hole.start_ms + slack_ms, hole.end_ms - slack_ms
        if end_ms <= start_ms:
            return None
        others = select(device.c.id).where(device.c.gateway == self._gateway, device.c.id != self._device.id)
        spoke = select(reading.c.ts_ms).where(
            reading.c.device_id.in_(others), reading.c.ts_ms > start_ms, reading.c.ts_ms < end_ms
        )
        happened = select(event.c.ts_ms).where(
            event.c.gateway == self._gateway, event.c.ts_ms > start_ms, event.c.ts_ms < end_ms
        )
        for wanted in (spoke, happened):
            if self._connection.execute(wanted.limit(1)).first() is not None:
                return None
        return "gateway-off", "no device was read and nothing was reported"

    def _full(self, hole: _Hole) -> Why | None:
        line = self._line.line if self._line is not None else ""
        told = self._last(("overrun", "overrun-ended"), line, hole.end_ms) if line else None
        if told is not None and (told.kind == "overrun" or told.ts_ms > hole.start_ms):
            return "line-full", told.message
        return None

    def _lost(self, hole: _Hole) -> Why | None:
        if hole.before is None or hole.after is None or hole.after - hole.before < 2:
            return None
        return "lost", f"{hole.after - hole.before - 1} readings were taken and did not arrive"
