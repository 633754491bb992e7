"""Answers with a series cut into equal intervals, for a chart."""

from sqlalchemy import func, select

from ccm_contracts.verbs.uplink import HistoryAnswer, Series
from ccm_uplink.history.levels import Level
from ccm_uplink.history.lines import MEAN_DIGITS, Line, Question
from ccm_uplink.history.paging import Point, bucket_ms
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.segments import Segment, level_for, segments
from ccm_uplink.history.stored import POINTS_IN_ANSWER
from ccm_uplink.history.summary import Summary
from ccm_uplink.history.tables import text_sample


def in_intervals(asked: Question) -> HistoryAnswer:
    """At most `points` of each series; the lowest and the highest value of each interval are in it."""
    query = asked.query
    most = min(query.points or 1, max(1, POINTS_IN_ANSWER // max(1, len(asked.lines))))
    start_ms, end_ms = ms_of(query.start), ms_of(query.end)
    level = level_for(bucket_ms(start_ms, end_ms, most))
    width_ms = bucket_ms(start_ms, end_ms, most)
    if level.unit is not None:
        start_ms = asked.calendar.start(start_ms, level.unit)
        width_ms = _whole(end_ms - start_ms, most, level.width_ms)
    return HistoryAnswer(
        series=[_cut(asked, line, (level, start_ms, end_ms), width_ms) for line in asked.lines]
    )


def _whole(length_ms: int, most: int, unit_ms: int) -> int:
    """The width of at most so many intervals, in whole units."""
    return -(-bucket_ms(0, length_ms, most) // unit_ms) * unit_ms


def _cut(asked: Question, line: Line, span: Segment, width_ms: int) -> Series:
    level, start_ms, end_ms = span
    if line.is_text:
        return line.answer(_last_texts(asked, line, start_ms, end_ms, width_ms), width_ms / 1000, "last")
    found: dict[int, Summary] = {}
    for part in segments(level, start_ms, end_ms, asked.floors, line.rolled_to_ms):
        for row in _grouped(asked, line, part, start_ms, width_ms):
            before = found.get(row.ts_ms)
            found[row.ts_ms] = row if before is None else _joined(before, row)
    points: list[Point] = [
        (
            row.ts_ms,
            row.last if line.is_counter else round(min(max(row.mean, row.low), row.high), MEAN_DIGITS),
            row.low,
            row.high,
        )
        for row in sorted(found.values(), key=lambda row: row.ts_ms)
    ]
    return line.answer(points, width_ms / 1000, "last" if line.is_counter else "mean")


def _joined(before: Summary, after: Summary) -> Summary:
    n = before.n + after.n
    return before._replace(
        n=n,
        mean=(before.n * before.mean + after.n * after.mean) / n,
        low=min(before.low, after.low),
        high=max(before.high, after.high),
        last=after.last,
    )


def _grouped(asked: Question, line: Line, part: Segment, start_ms: int, width_ms: int) -> list[Summary]:
    """What the database itself makes of the rows; of a counter also the last value of each interval."""
    level, begin_ms, end_ms = part
    table = level.table
    rows = (
        level.rows()
        .where(table.c.series_id == line.id, table.c.ts_ms >= begin_ms, table.c.ts_ms < end_ms)
        .subquery()
    )
    number = (rows.c.ts_ms - start_ms) // width_ms
    wanted = (
        select(
            number,
            func.sum(rows.c.n),
            func.sum(rows.c.n * rows.c.mean),
            func.min(rows.c.low),
            func.max(rows.c.high),
            func.max(rows.c.ts_ms),
        )
        .group_by(number)
        .order_by(number)
    )
    found = asked.connection.execute(wanted).all()
    last = _lasts(asked, line, level, [row[5] for row in found]) if line.is_counter else {}
    return [
        Summary(
            line.id,
            start_ms + int(place) * width_ms,
            int(n),
            total / int(n),
            low,
            high,
            None,
            last.get(ts_ms, high),
            None,
        )
        for place, n, total, low, high, ts_ms in found
    ]


def _lasts(asked: Question, line: Line, level: Level, stamps: list[int]) -> dict[int, float]:
    rows = level.rows().subquery()
    found: dict[int, float] = {}
    for first in range(0, len(stamps), 500):
        wanted = select(rows.c.ts_ms, rows.c.last).where(
            rows.c.series_id == line.id, rows.c.ts_ms.in_(stamps[first : first + 500])
        )
        found.update((row.ts_ms, row.last) for row in asked.connection.execute(wanted))
    return found


def _last_texts(asked: Question, line: Line, start_ms: int, end_ms: int, width_ms: int) -> list[Point]:
    """A text has no mean: the last one of each interval."""
    bucket = (text_sample.c.ts_ms - start_ms) // width_ms
    last = (
        select(bucket.label("number"), func.max(text_sample.c.ts_ms).label("ts_ms"))
        .where(
            text_sample.c.series_id == line.id, text_sample.c.ts_ms >= start_ms, text_sample.c.ts_ms < end_ms
        )
        .group_by(bucket)
        .subquery()
    )
    wanted = (
        select(last.c.number, text_sample.c.value)
        .join(last, last.c.ts_ms == text_sample.c.ts_ms)
        .where(text_sample.c.series_id == line.id)
        .order_by(last.c.number)
    )
    found = asked.connection.execute(wanted)
    return [(start_ms + int(number) * width_ms, text, None, None) for number, text in found]
