"""Answers with values as they are stored, in pages."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import select

from ccm_contracts.verbs.uplink import MAX_POINTS, HistoryAnswer
from ccm_uplink.history.calendar import WIDTH_MS, Calendar, Unit
from ccm_uplink.history.levels import LEVELS, Level
from ccm_uplink.history.lines import MEAN_DIGITS, Line, Question
from ccm_uplink.history.paging import Point, instant_of, pages_of
from ccm_uplink.history.roller import GRACE_MS
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.segments import segments
from ccm_uplink.history.summary import Summary, folded
from ccm_uplink.history.tables import text_sample

POINTS_IN_ANSWER: Final = 10_000
"""Points of all series together: about 600 kB of JSON; NATS carries 1 MB."""


def as_stored(asked: Question) -> HistoryAnswer:
    """Every value; where single values were dropped, the finest rollup that is left."""
    lines = asked.lines
    most = min(MAX_POINTS, max(1, POINTS_IN_ANSWER // max(1, len(lines))))
    found = [
        _texts(asked, line, most + 1) if line.is_text else _values(asked, line, most + 1) for line in lines
    ]
    pages, next_ms = pages_of(found, most)
    return HistoryAnswer(
        series=[
            line.answer(page, asked.keeping.latency_s, "last" if line.is_counter or line.is_text else "mean")
            for line, page in zip(lines, pages, strict=True)
        ],
        next_from=None if next_ms is None else instant_of(next_ms),
    )


def _texts(asked: Question, line: Line, limit: int) -> list[Point]:
    wanted = (
        select(text_sample.c.ts_ms, text_sample.c.value)
        .where(text_sample.c.series_id == line.id)
        .where(text_sample.c.ts_ms >= ms_of(asked.query.start), text_sample.c.ts_ms < ms_of(asked.query.end))
        .order_by(text_sample.c.ts_ms)
        .limit(limit)
    )
    return [(ts_ms, value, None, None) for ts_ms, value in asked.connection.execute(wanted)]


def _values(asked: Question, line: Line, limit: int) -> list[Point]:
    start_ms, end_ms = ms_of(asked.query.start), ms_of(asked.query.end)
    finest = next(level for level in LEVELS if level.name == asked.keeping.level)
    if asked.keeping.latency_s == 300:  # made of minutes: never of a part of them
        start_ms, end_ms = _next_five(start_ms), _next_five(end_ms)
    if finest.unit is not None:
        end_ms = min(end_ms, _stored_to_ms(asked, line, finest))
    parts = segments(finest, start_ms, end_ms, asked.floors, line.rolled_to_ms)
    return [_point(row, line) for row in _rows(asked, line, parts, limit)]


def _rows(asked: Question, line: Line, parts: list[tuple[Level, int, int]], limit: int) -> Iterator[Summary]:
    left = limit
    for level, start_ms, end_ms in parts:
        table = level.table
        is_cut = asked.keeping.latency_s == 300 and level.name == asked.keeping.level
        wanted = (
            level.rows()
            .where(table.c.series_id == line.id, table.c.ts_ms >= start_ms, table.c.ts_ms < end_ms)
            .order_by(table.c.ts_ms)
            .limit(left * 5 if is_cut else left)
        )
        rows = [Summary._make(row) for row in asked.connection.execute(wanted)]
        if is_cut:
            rows = _in_fives(rows, line, asked.calendar)
        yield from rows
        left -= len(rows)
        if left <= 0:
            return


def _in_fives(rows: list[Summary], line: Line, calendar: Calendar) -> list[Summary]:
    counters = {line.id} if line.is_counter else set()
    return list(folded(rows, lambda ts_ms: calendar.start(ts_ms, "5min"), counters))


def _next_five(ts_ms: int) -> int:
    """The first period of five minutes that begins at or after a moment."""
    width_ms = WIDTH_MS["5min"]
    return -(-ts_ms // width_ms) * width_ms


def _stored_to_ms(asked: Question, line: Line, finest: Level) -> int:
    """The period that goes on is not stored yet. One that is over is, also where the device fell silent in it."""
    begin_ms, end_ms = asked.calendar.period(line.rolled_to_ms - 1, _unit_of(asked, finest))
    is_rolled = line.last_ts_ms < line.rolled_to_ms
    if end_ms <= line.rolled_to_ms or (is_rolled and end_ms + GRACE_MS <= asked.now_ms):
        return line.rolled_to_ms
    return begin_ms


def _unit_of(asked: Question, level: Level) -> Unit:
    assert level.unit
    return "5min" if asked.keeping.latency_s == 300 else level.unit


def _point(row: Summary, line: Line) -> Point:
    return row.ts_ms, row.last if line.is_counter else round(row.mean, MEAN_DIGITS), row.low, row.high
