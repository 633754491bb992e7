"""Answers by the periods of the site's clock: mean, minimum, maximum, sum, last value, delta, energy."""

from itertools import zip_longest
from typing import Final

from sqlalchemy import select

from ccm_contracts.verbs.uplink import Aggregate, HistoryAnswer, Series
from ccm_kit.errors import RefusedError
from ccm_uplink.history.calendar import DAY_MS, HOUR_MS, WIDTH_MS, Unit
from ccm_uplink.history.levels import D1, H1, LEVELS, M1, M15, RAW, Level
from ccm_uplink.history.lines import MEAN_DIGITS, Line, Question
from ccm_uplink.history.paging import Point, instant_of
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.segments import segments
from ccm_uplink.history.stored import POINTS_IN_ANSWER
from ccm_uplink.history.summary import Summary, folded, step

LEVEL_OF: Final[dict[Unit, Level]] = {
    "minute": M1,
    "5min": M1,
    "15min": M15,
    "hour": H1,
    "day": D1,
    "month": D1,
    "year": D1,
}
QUARTERS_MS: Final = 62 * DAY_MS
"""Up to this range the integral of a power is made of quarters, above of hours."""
HELD_MS: Final = HOUR_MS
"""A power holds until its next value, but not over a longer gap: what a silent device did is not known."""
ROWS_AT_MOST: Final = 200_000
"""Rows of one series that are looked at for one answer; more are answered in pages."""


def in_periods(asked: Question, aggregate: Aggregate) -> HistoryAnswer:
    """The whole periods that touch the range, each with data; in pages."""
    lines = [line for line in asked.lines if not line.is_text]
    if aggregate == "energy":
        lines = [line for line in lines if line.is_counter or line.unit == "W"]
    if aggregate == "delta":
        lines = [line for line in lines if line.is_counter]
    if asked.lines and not lines:
        text = f"none of these metrics has a {aggregate}: it is for counters"
        raise RefusedError(f"{text} and powers" if aggregate == "energy" else text, field="aggregate")
    unit = asked.query.interval
    start_ms, end_ms = _held(asked, lines)
    most = max(1, POINTS_IN_ANSWER // max(1, len(lines)))
    edges = asked.calendar.edges(start_ms, end_ms, unit, most)
    if not edges:
        return HistoryAnswer(series=[_answer(asked, line, (start_ms, start_ms), aggregate) for line in lines])
    span = edges[0][0], edges[-1][1]
    series = [_answer(asked, line, span, aggregate) for line in lines]
    return HistoryAnswer(series=series, next_from=instant_of(span[1]) if span[1] < end_ms else None)


def _held(asked: Question, lines: list[Line]) -> tuple[int, int]:
    """The range asked for without what lies before and after everything that is kept: "ever since" is one page."""
    start_ms, end_ms = ms_of(asked.query.start), ms_of(asked.query.end)
    firsts = [first for line in lines if (first := _first(asked, line)) is not None]
    if not firsts:
        return start_ms, start_ms
    return max(start_ms, min(firsts)), min(end_ms, max(line.last_ts_ms for line in lines) + 1)


def _first(asked: Question, line: Line) -> int | None:
    """A coarser resolution reaches back at least as far as a finer one."""
    for level in reversed(LEVELS):
        column = level.table.c.ts_ms
        wanted = select(column).where(level.table.c.series_id == line.id).order_by(column).limit(1)
        first = asked.connection.scalar(wanted)
        if first is not None:
            return int(first)
    return None


def _answer(asked: Question, line: Line, span: tuple[int, int], aggregate: Aggregate) -> Series:
    resolution_s = WIDTH_MS[asked.query.interval] / 1000
    if aggregate == "energy" and not line.is_counter:
        return line.answer(_integral(asked, line, span), resolution_s, "energy", "kWh")
    level = LEVEL_OF[asked.query.interval]
    rows = _folded(asked, line, level, span)
    if aggregate in ("delta", "energy"):
        return line.answer(_counted(asked, line, level, rows, span), resolution_s, aggregate)
    return line.answer([_point(row, aggregate) for row in rows], resolution_s, aggregate)


def _point(row: Summary, aggregate: Aggregate) -> Point:
    if aggregate == "sum":
        return row.ts_ms, round(row.n * row.mean, MEAN_DIGITS), None, None
    value = {"mean": round(row.mean, MEAN_DIGITS), "min": row.low, "max": row.high, "last": row.last}[
        aggregate
    ]
    return row.ts_ms, value, row.low, row.high


def _rows(asked: Question, line: Line, level: Level, span: tuple[int, int]) -> list[Summary]:
    found: list[Summary] = []
    for part, start_ms, end_ms in segments(level, *span, asked.floors, line.rolled_to_ms):
        table = part.table
        wanted = (
            part.rows()
            .where(table.c.series_id == line.id, table.c.ts_ms >= start_ms, table.c.ts_ms < end_ms)
            .order_by(table.c.ts_ms)
            .limit(ROWS_AT_MOST)
        )
        found += [Summary._make(row) for row in asked.connection.execute(wanted)]
    return found


def _folded(asked: Question, line: Line, level: Level, span: tuple[int, int]) -> list[Summary]:
    unit = asked.query.interval
    counters = {line.id} if line.is_counter else set()
    rows = _rows(asked, line, level, span)
    return list(folded(rows, lambda ts_ms: asked.calendar.start(ts_ms, unit), counters))


def _counted(
    asked: Question, line: Line, level: Level, rows: list[Summary], span: tuple[int, int]
) -> list[Point]:
    """What was counted in each period: by the accumulated counter, which knows a meter that was exchanged, a roll-over
    and jitter; before that began, by the meter's own.
    """
    points = _gains(asked, line, level, rows)
    total = asked.accumulated.get(line.id)
    better = _folded(asked, total, level, span) if total is not None else []
    if total is None or not better:
        return points
    known = _gains(asked, total, level, better)
    began_ms = better[0].ts_ms
    if _before(asked, total, level, began_ms) is None and _before(asked, line, level, began_ms) is not None:
        known = known[1:]  # it began within this period, after the meter's own
    by_period = {point[0]: point for point in points} | {point[0]: point for point in known}
    return [by_period[at] for at in sorted(by_period)]


def _gains(asked: Question, line: Line, level: Level, rows: list[Summary]) -> list[Point]:
    """What was counted in each period; the step to its first value belongs to it."""
    points: list[Point] = []
    before = _before(asked, line, level, rows[0].ts_ms) if rows else None
    for row in rows:
        first = row.low if row.first is None else row.first
        gain = (row.gain or 0.0) + (0.0 if before is None else step(before, first))
        points.append((row.ts_ms, round(gain, MEAN_DIGITS), None, None))
        before = row.last
    return points


def _before(asked: Question, line: Line, level: Level, start_ms: int) -> float | None:
    """The last value before a moment; single values where no rollups were made yet."""
    new = _last(asked, line, RAW, (line.rolled_to_ms, start_ms))
    if new is not None:
        return new
    for each in LEVELS[LEVELS.index(level) :]:
        until_ms = asked.calendar.start(start_ms, each.unit) if each.unit else start_ms
        found = _last(
            asked, line, each, (0, until_ms)
        )  # a period that is not over at that moment may hold it
        if found is not None:
            return found
    return None


def _last(asked: Question, line: Line, level: Level, span: tuple[int, int]) -> float | None:
    table = level.table
    wanted = (
        level.rows()
        .where(table.c.series_id == line.id, table.c.ts_ms >= span[0], table.c.ts_ms < span[1])
        .order_by(table.c.ts_ms.desc())
        .limit(1)
    )
    row = asked.connection.execute(wanted).one_or_none()
    return None if row is None else Summary._make(row).last


def _integral(asked: Question, line: Line, span: tuple[int, int]) -> list[Point]:
    """kWh of a power: mean times time, by quarters or hours that have values; up to the last whole minute."""
    is_short = span[1] - span[0] <= QUARTERS_MS or WIDTH_MS[asked.query.interval] < HOUR_MS
    level, unit = (M15, "15min") if is_short else (H1, "hour")
    if WIDTH_MS[asked.query.interval] < M15.width_ms:
        level, unit = M1, "minute"
    wide = (span[0] - HELD_MS, min(span[1] + HELD_MS, line.rolled_to_ms))
    rows = _rows(asked, line, level, wide)
    found: dict[int, float] = {}
    for row, after in zip_longest(rows, rows[1:]):
        end_ms = min(asked.calendar.period(row.ts_ms, unit)[1], line.rolled_to_ms)  # type: ignore[arg-type]
        if after is not None and after.ts_ms - end_ms <= HELD_MS:
            end_ms = after.ts_ms
        at_ms = row.ts_ms
        while at_ms < end_ms:
            start, end = asked.calendar.period(at_ms, asked.query.interval)
            found[start] = found.get(start, 0.0) + row.mean * (min(end, end_ms) - at_ms) / HOUR_MS / 1000
            at_ms = end
    return [
        (at, round(energy, MEAN_DIGITS), None, None)
        for at, energy in sorted(found.items())
        if span[0] <= at < span[1]
    ]
