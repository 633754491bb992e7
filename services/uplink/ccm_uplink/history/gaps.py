"""When a device has no readings. Blocking: runs in the reader's thread.

Gaps are found in the ledger of readings; before it begins, in the minutes of the rollups. `reasons.py` says why.
"""

import statistics
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, Subquery, func, literal_column, select

from ccm_contracts.verbs.uplink import Gap, GapsAnswer, GapsQuery
from ccm_uplink.history.calendar import MINUTE_MS
from ccm_uplink.history.levels import RAW
from ccm_uplink.history.paging import instant_of
from ccm_uplink.history.reasons import Hole, Reasons, Why
from ccm_uplink.history.roller import series_of
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.state import floors
from ccm_uplink.history.tables import device, m1, reading

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


def gaps_in(connection: Connection, gateway: str, query: GapsQuery, now_ms: int) -> GapsAnswer:
    found = connection.execute(
        select(device).where(device.c.gateway == gateway, device.c.name == query.device)
    ).one_or_none()
    if found is None or not found.readings:
        return GapsAnswer(gaps=[])
    start_ms, end_ms = ms_of(query.start), min(ms_of(query.end), now_ms)
    floor_ms = floors(connection, gateway)[RAW.name]
    holes: list[Hole] = []
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
    reasons = Reasons(connection, gateway, found)
    shown = holes[:MOST_GAPS]
    gaps = [_gap(hole, reasons.of(hole, expected_ms * MISSED)) for hole in shown]
    after = instant_of(shown[-1].end_ms) if len(holes) > MOST_GAPS else None
    return GapsAnswer(gaps=gaps, expected_s=expected_ms / 1000, next_from=after)


def _gap(hole: Hole, why: Why) -> Gap:
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


def _holes(connection: Connection, stamps: Subquery, span: tuple[int, int], expected_ms: int) -> list[Hole]:
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
    found = [Hole(row.ts_ms, row.next_ms, row.seq, row.next_seq) for row in connection.execute(wanted)]
    first, last = connection.execute(select(func.min(inside.c.ts_ms), func.max(inside.c.ts_ms))).one()
    has_before = (
        connection.scalar(select(stamps.c.ts_ms).where(stamps.c.ts_ms < start_ms).limit(1)) is not None
    )
    if first is None:
        return [Hole(start_ms, end_ms)] if has_before else []
    if has_before and first - start_ms > least_ms:
        found.insert(0, Hole(start_ms, first))
    if end_ms - last > least_ms:
        found.append(Hole(last, end_ms))
    return found


def _is_hole(connection: Connection, at: int, hole: Hole) -> bool:
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
