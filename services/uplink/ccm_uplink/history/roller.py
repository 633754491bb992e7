"""Makes rollups from single values: a bounded piece of work at a time. Blocking: runs in the writer's thread.

Minutes come from single values, quarters from minutes, hours from quarters, days from hours, in one transaction
with the mark of how far a device has come. What comes later than that mark is in `dirty`, and its periods are made
anew; what comes after its single values were dropped is merged into the periods that are there (`absorb`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, delete, func, select, update

from ccm_contracts.metrics import METRICS
from ccm_uplink.history.borders import Borders, reach_ms
from ccm_uplink.history.calendar import DAY_MS, MINUTE_MS, Calendar, Period
from ccm_uplink.history.levels import D1, H1, LEVELS, M15, ROLLUPS, Level
from ccm_uplink.history.retention import Floors
from ccm_uplink.history.statements import Insert
from ccm_uplink.history.summary import Summary, folded, merged
from ccm_uplink.history.tables import device, dirty, reading, series

GRACE_MS: Final = 5_000
"""A minute without newer readings is closed so long after its end."""
VALUES_PER_PIECE: Final = 10_000
"""Single values of one piece of work, about: some 30 ms."""
LONGEST_PIECE_MS: Final = 60 * MINUTE_MS
LATE_PER_PIECE: Final = 20
"""Minutes with late readings that are made anew at a time."""
REZONE_MS: Final = 30 * DAY_MS
"""Days that are cut anew at a time, after a change of the time zone."""

ZONED: Final = (H1, D1)
"""Levels that a change of the time zone cuts anew; all others are the same everywhere."""

_INSERTS: Final = {level.name: Insert(level.table, replace=True) for level in ROLLUPS}


class Cut(NamedTuple):
    """Where the hours and the days of a device that are made anew begin: at borders of what is stored.

    Of what began before, the quarters may be gone.
    """

    device_id: int
    begin_ms: int
    hours_ms: int
    days_ms: int


class Roller:
    """The rollups of one gateway. Raises SQLAlchemy's errors; then nothing of the piece was done."""

    def __init__(self, engine: Engine, gateway: str) -> None:
        self._engine = engine
        self._gateway = gateway

    def late(self, calendar: Calendar) -> bool:
        """Make some minutes anew that got late readings; false when there are none."""
        with self._engine.begin() as connection:
            mine = select(device.c.id).where(device.c.gateway == self._gateway)
            at = connection.scalar(select(dirty.c.device_id).where(dirty.c.device_id.in_(mine)).limit(1))
            if at is None:
                return False
            connection.execute(select(device.c.id).where(device.c.id == at).with_for_update())
            minutes = connection.scalars(
                select(dirty.c.ts_ms)
                .where(dirty.c.device_id == at)
                .order_by(dirty.c.ts_ms)
                .limit(LATE_PER_PIECE)
            ).all()
            connection.execute(delete(dirty).where(dirty.c.device_id == at, dirty.c.ts_ms.in_(minutes)))
            roll(connection, at, [(minute, minute + MINUTE_MS) for minute in minutes], calendar)
        return True

    def next(self, now_ms: int, calendar: Calendar) -> bool:
        """Roll a piece of the device that is furthest behind, from its mark on; false when there is nothing to roll."""
        closed_ms = now_ms - GRACE_MS
        with self._engine.begin() as connection:
            behind = (
                select(device.c.id)
                .where(device.c.gateway == self._gateway, device.c.last_ts_ms >= device.c.rolled_to_ms)
                .where(
                    (device.c.last_ts_ms - device.c.rolled_to_ms >= MINUTE_MS)
                    | (device.c.rolled_to_ms + MINUTE_MS <= closed_ms)
                )
                .where(device.c.readings > 0)
                .order_by(device.c.rolled_to_ms)
                .limit(1)
            )
            at = connection.scalar(behind)
            if at is None:
                return False
            row = connection.execute(select(device).where(device.c.id == at).with_for_update()).one()
            first = connection.scalar(
                select(func.min(reading.c.ts_ms)).where(
                    reading.c.device_id == at, reading.c.ts_ms >= row.rolled_to_ms
                )
            )
            end = row.last_ts_ms - row.last_ts_ms % MINUTE_MS
            if end + MINUTE_MS <= closed_ms:
                end += MINUTE_MS
            if first is None:
                begin = end
            else:
                begin = first - first % MINUTE_MS
                end = min(end, begin + self._span_ms(connection, at))
            if end > begin:
                roll(connection, at, [(begin, end)], calendar)
            mark = max(row.rolled_to_ms, end)
            connection.execute(update(device).where(device.c.id == at).values(rolled_to_ms=mark))
            return bool(mark > row.rolled_to_ms)

    def _span_ms(self, connection: Connection, at: int) -> int:
        """How much time makes about `VALUES_PER_PIECE`, at a reading a second."""
        number = connection.scalar(select(func.count()).where(series.c.device_id == at)) or 1
        minutes = VALUES_PER_PIECE // (60 * number)
        return min(LONGEST_PIECE_MS, max(1, minutes) * MINUTE_MS)

    def rezone(self, cut: Cut, calendar: Calendar) -> None:
        """Cut hours and days of one device anew over `REZONE_MS`, as far as there are quarters."""
        with self._engine.begin() as connection:
            ids, counters = series_of(connection, cut.device_id)
            end = calendar.period(cut.begin_ms + REZONE_MS, "day")[1]
            for source, level, first in ((M15, H1, cut.hours_ms), (H1, D1, cut.days_ms)):
                start_of = Borders(calendar, level.unit, ()).start  # type: ignore[arg-type]  # both have one
                made = _folded(connection, source, (first, end), (ids, counters), start_of)
                table = level.table
                connection.execute(
                    delete(table).where(
                        table.c.series_id.in_(ids), table.c.ts_ms >= first, table.c.ts_ms < end
                    )
                )
                # The first one is not whole: it is stamped with where it really begins.
                whole = [row._replace(ts_ms=max(row.ts_ms, first)) for row in made]
                _INSERTS[level.name].run(connection, whole)


def cuts_of(connection: Connection, at: int, span: Period, old: Calendar, new: Calendar) -> list[Cut]:
    """How to make a device's hours and days anew; `span` is from the oldest quarter to the newest reading."""
    ids, _ = series_of(connection, at)
    hours_ms = _border(connection, H1, ids, span[0], old)
    days_ms = _border(connection, D1, ids, hours_ms, old)
    found = [Cut(at, span[0], hours_ms, days_ms)] if span[0] <= span[1] else []
    for begin in range(span[0] + REZONE_MS, span[1] + 1, REZONE_MS):
        day = new.start(begin, "day")
        found.append(Cut(at, begin, day, day))
    return found


def _border(connection: Connection, level: Level, ids: list[int], ts_ms: int, old: Calendar) -> int:
    """Where the stored period begins that goes on at a moment; the moment itself where there is none."""
    column, unit = level.table.c.ts_ms, level.unit
    assert unit
    of_one = select(func.max(column)).where(level.table.c.series_id == series.c.id, column <= ts_ms)
    wanted = select(func.max(of_one.scalar_subquery())).select_from(series).where(series.c.id.in_(ids))
    begin = connection.scalar(wanted)  # one look into the key for each series
    return int(begin) if begin is not None and old.period(begin, unit)[1] > ts_ms else ts_ms


def series_of(connection: Connection, at: int) -> tuple[list[int], set[int]]:
    """The numeric series of a device, and which of them are counters."""
    wanted = select(series.c.id, series.c.metric).where(series.c.device_id == at, series.c.is_text.is_(False))
    found = connection.execute(wanted).all()
    return [row.id for row in found], {row.id for row in found if is_counter(row.metric)}


def is_counter(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].kind == "counter"


def roll(connection: Connection, at: int, minutes: Iterable[Period], calendar: Calendar) -> None:
    """Make the minutes of one device anew from its single values, and every longer period that holds them."""
    known = series_of(connection, at)
    spans = list(minutes)
    for source, level in zip(LEVELS[:-1], ROLLUPS, strict=True):
        spans = _periods(spans, level, calendar)
        for span in spans:
            start_of = _borders(connection, level, known[0], span, calendar).start
            _INSERTS[level.name].run(connection, _folded(connection, source, span, known, start_of))


def _periods(spans: Sequence[Period], level: Level, calendar: Calendar) -> list[Period]:
    """Whole periods of the level that cover the spans, neighbours joined."""
    assert level.unit
    found: list[Period] = []
    for begin, end in spans:
        first, last = calendar.start(begin, level.unit), calendar.period(end - 1, level.unit)[1]
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _borders(
    connection: Connection, level: Level, ids: list[int], span: Period, calendar: Calendar
) -> Borders:
    """Of the periods that are stored in, just before and just after a span."""
    unit, column = level.unit, level.table.c.ts_ms
    assert unit
    if level not in ZONED:
        return Borders(calendar, unit, ())
    begin, end = span[0] - reach_ms(unit), span[1] + reach_ms(unit)
    wanted = (
        select(column)
        .where(level.table.c.series_id.in_(ids), column >= begin, column < end)
        .distinct()
        .order_by(column)
    )
    stamps = connection.scalars(wanted).all()
    return Borders(calendar, unit, [stamp for stamp in stamps if calendar.start(stamp, unit) != stamp])


def _folded(
    connection: Connection,
    source: Level,
    span: Period,
    known: tuple[list[int], set[int]],
    start_of: Callable[[int], int],
) -> list[Summary]:
    ids, counters = known
    table = source.table
    wanted = (
        source.rows()
        .where(table.c.series_id.in_(ids), table.c.ts_ms >= span[0], table.c.ts_ms < span[1])
        .order_by(table.c.series_id, table.c.ts_ms)
    )
    rows = connection.execute(wanted)
    return list(folded(rows, start_of, counters))  # type: ignore[arg-type]  # rows are tuples of the same columns


def absorb(
    connection: Connection,
    at: int,
    values: Sequence[tuple[int, int, float]],
    calendar: Calendar,
    floors: Floors,
) -> None:
    """Merge late values, whose neighbours were dropped, into each period that holds them and is kept."""
    ids, counters = series_of(connection, at)
    rows = [Summary(key, ts, 1, value, value, value, value, value, 0.0) for key, ts, value in sorted(values)]
    span = min([ts for _, ts, _ in values], default=0), max([ts for _, ts, _ in values], default=0) + 1
    for level in ROLLUPS:
        borders = _borders(connection, level, ids, span, calendar)
        rows, made = _absorbed(connection, level, rows, counters, borders)
        kept = [row for row in made if row.ts_ms >= floors[level.name]]
        _INSERTS[level.name].run(connection, kept)


def _absorbed(
    connection: Connection, level: Level, rows: list[Summary], counters: set[int], borders: Borders
) -> tuple[list[Summary], list[Summary]]:
    """The late part alone, cut to the level's periods; and these periods with it."""
    table = level.table
    late = list(folded(rows, borders.kept, counters))
    made = []
    for part in late:
        wanted = select(table).where(table.c.series_id == part.series_id, table.c.ts_ms == part.ts_ms)
        kept = connection.execute(wanted).one_or_none()
        made.append(part if kept is None else merged(Summary(*kept), part))
    return late, made
