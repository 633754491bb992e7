"""The background work of the history: rollups, then retention and the disk budget, a bounded piece at a time.

Blocking: runs in the writer's thread between two batches, so that it never holds a lock that a reading waits for.
"""

from collections import deque
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select, text

from ccm_uplink.history.calendar import DAY_MS, HOUR_MS, Calendar
from ccm_uplink.history.database import size_of, write_back
from ccm_uplink.history.levels import LEVELS, M1, M15, RAW, Level
from ccm_uplink.history.retention import Floors, Keeping, Trimmed, floors_of, freed
from ccm_uplink.history.roller import Cut, Roller, cuts_of
from ccm_uplink.history.state import floors, read_state, write_state
from ccm_uplink.history.tables import device, event, late_reading, reading, series, text_sample

STEP_MS: Final = {"raw": HOUR_MS, "m1": DAY_MS, "m15": 15 * DAY_MS, "h1": 60 * DAY_MS, "d1": 1000 * DAY_MS}
"""So much of a resolution is dropped at once: at most 3600 values of a series."""
SERIES_PER_PIECE: Final = 10
LEDGER_MARGIN_MS: Final = HOUR_MS
"""The ledger of readings reaches back further than their values: a re-delivery finds it."""
LATE_KEPT_MS: Final = 31 * DAY_MS
"""Longer than the stream keeps a message (30 days): no re-delivery comes later."""
EVENTS_KEPT_MS: Final = 400 * DAY_MS
CHECK_MS: Final = 30_000
"""Between two looks at retention and budget, when there is nothing to do."""
VACUUM_PAGES: Final = 500
INCREMENTAL: Final = 2
"""https://sqlite.org/pragma.html#pragma_auto_vacuum; files of the first release have 0 and do not shrink."""
MOST_PAGES: Final = 0xFFFF_FFFE
"""https://sqlite.org/limits.html: SQLITE_MAX_PAGE_COUNT."""
LOOK_PIECES: Final = 3
"""While there is much to roll, the budget is looked at after so many pieces."""
ENOUGH: Final = 0.95
"""A budget that was exceeded is brought down to this share of it."""


class Upkeep:
    """The upkeep of one gateway's history. Raises SQLAlchemy's errors; trying again later is right."""

    def __init__(self, engine: Engine, gateway: str) -> None:
        self._engine = engine
        self._gateway = gateway
        self._roller = Roller(engine, gateway)
        self._drops: deque[tuple[Level, list[int], int]] = deque()
        self._zones: deque[Cut] = deque()
        self._checked_ms: int | None = None
        self._trimming = False
        self._rolled = 0
        """Pieces since the budget was looked at."""
        self.is_limited = False
        """The file does not grow, for the disk was full."""
        self.trimmed: Trimmed | None = None
        """What was last dropped for want of space; whoever tells the operator sets it back."""

    def piece(self, now_ms: int, keeping: Keeping, calendar: Calendar) -> bool:
        """Do one piece of work; false when there is none for now."""
        if self._rezone(keeping, calendar) or self._roller.late(calendar) or self._drop():
            return True
        if self._rolled < LOOK_PIECES and self._roller.next(now_ms, calendar):
            self._rolled += 1
            return True
        if self._rolled:
            self._rolled = 0
            self._trim_rolled(keeping, calendar)
            return True
        if self._checked_ms is not None and 0 <= now_ms - self._checked_ms < CHECK_MS and not self._trimming:
            return False
        has_more = self._retain(now_ms, keeping, calendar) or self._budget(keeping, calendar)
        self._checked_ms = None if has_more else now_ms
        return has_more

    # --- retention -----------------------------------------------------------------------------------

    def _retain(self, now_ms: int, keeping: Keeping, calendar: Calendar) -> bool:
        """Note how far to drop next, before it is dropped: what comes late meets no half of a period."""
        with self._engine.begin() as connection:
            newest = connection.scalar(
                select(func.max(device.c.last_ts_ms)).where(device.c.gateway == self._gateway)
            )
            if newest is None:
                return False
            before = floors(connection, self._gateway)
            wanted = floors_of(keeping, min(now_ms, newest), calendar, before)
            self._forget(connection, now_ms, wanted)
            return self._advance(connection, before, wanted)

    def _advance(self, connection: Connection, before: Floors, wanted: Floors) -> bool:
        for level in LEVELS:
            if wanted[level.name] <= before.get(level.name, 0):
                continue
            oldest = self._oldest(connection, level)
            if oldest is None or oldest >= wanted[level.name]:
                write_state(connection, self._gateway, level.floor_name, str(wanted[level.name]))
                continue
            step = max(before.get(level.name, 0), oldest) + STEP_MS[level.name]
            self._begin_drop(connection, level, min(wanted[level.name], step))
            return True
        return False

    def _begin_drop(self, connection: Connection, level: Level, floor_ms: int) -> None:
        write_state(connection, self._gateway, level.floor_name, str(floor_ms))
        for ids in self._series(connection, is_text=False):
            self._drops.append((level, ids, floor_ms))

    def _drop(self) -> bool:
        """Delete what one piece of the noted drop names."""
        if not self._drops:
            return False
        level, ids, floor_ms = self._drops[0]
        with self._engine.begin() as connection:
            for at in ids:  # one range of the key each
                connection.execute(
                    delete(level.table).where(level.table.c.series_id == at, level.table.c.ts_ms < floor_ms)
                )
            if len(self._drops) == 1 or self._drops[1][0] is not level:
                self._drop_beside(connection, level, floor_ms)
        self._drops.popleft()
        return True

    def _drop_beside(self, connection: Connection, level: Level, floor_ms: int) -> None:
        """The ledger goes with the single values, texts with the minutes."""
        if level is RAW:
            mine = select(device.c.id).where(device.c.gateway == self._gateway)
            for at in connection.scalars(mine).all():
                connection.execute(
                    delete(reading).where(
                        reading.c.device_id == at, reading.c.ts_ms < floor_ms - LEDGER_MARGIN_MS
                    )
                )
        if level is M1:
            for ids in self._series(connection, is_text=True):
                for at in ids:
                    connection.execute(
                        delete(text_sample).where(
                            text_sample.c.series_id == at, text_sample.c.ts_ms < floor_ms
                        )
                    )

    def _forget(self, connection: Connection, now_ms: int, wanted: Floors) -> None:
        mine = select(device.c.id).where(device.c.gateway == self._gateway)
        connection.execute(
            delete(late_reading).where(
                late_reading.c.device_id.in_(mine), late_reading.c.stored_ms < now_ms - LATE_KEPT_MS
            )
        )
        oldest = min(wanted["m1"], now_ms - EVENTS_KEPT_MS)
        connection.execute(delete(event).where(event.c.gateway == self._gateway, event.c.ts_ms < oldest))

    # --- space ---------------------------------------------------------------------------------------

    def _budget(self, keeping: Keeping, calendar: Calendar) -> bool:
        """Over the budget: give up the oldest single values, then the oldest minutes, quarters, hours."""
        limit = keeping.max_mb * 1_000_000
        if not limit or self._engine.dialect.name != "sqlite":
            return False
        with self._engine.begin() as connection:
            size, free = size_of(connection)
            if size > limit and free and connection.scalar(text("PRAGMA auto_vacuum")) == INCREMENTAL:
                raw: Any = connection.connection.driver_connection
                raw.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()  # a page a step
                return True
        self._trimming = size - free > limit * (ENOUGH if self._trimming else 1)
        if not self._trimming:
            return False
        self._trimming = self.free(calendar, is_full=False)
        return self._trimming

    def free(self, calendar: Calendar, *, is_full: bool) -> bool:
        """Give up a twentieth of the finest resolution that has some; false when nothing is left to give."""
        with self._engine.begin() as connection:
            newest = connection.scalar(
                select(func.max(device.c.last_ts_ms)).where(device.c.gateway == self._gateway)
            )
            before = floors(connection, self._gateway)
            for level in LEVELS[:-1]:
                oldest = self._oldest(connection, level)
                if oldest is None or newest is None:
                    continue
                wanted = freed(level.name, oldest, newest, before, calendar)
                if wanted is None:
                    continue
                self._begin_drop(connection, level, wanted[level.name])
                self.trimmed = Trimmed(level.name, wanted[level.name], is_full)
                return True
        return False

    def _trim_rolled(self, keeping: Keeping, calendar: Calendar) -> None:
        """While a backlog is rolled: of what is rolled already, the oldest single values go, over the budget."""
        limit = keeping.max_mb * 1_000_000
        if not limit or self._engine.dialect.name != "sqlite":
            return
        with self._engine.begin() as connection:
            size, free = size_of(connection)
            if size - free <= limit:
                return
            behind = select(func.min(device.c.rolled_to_ms)).where(
                device.c.gateway == self._gateway,
                device.c.readings > 0,
                device.c.last_ts_ms >= device.c.rolled_to_ms,
            )
            rolled_ms, oldest = connection.scalar(behind), self._oldest(connection, RAW)
            if rolled_ms is None or oldest is None:
                return
            wanted = freed(RAW.name, oldest, rolled_ms, floors(connection, self._gateway), calendar)
            if wanted is not None:
                self._begin_drop(connection, RAW, wanted[RAW.name])
                self.trimmed = Trimmed(RAW.name, wanted[RAW.name], is_full=False)

    def free_now(self, calendar: Calendar) -> bool:
        """The disk is full: give up the oldest values at once; false when nothing is left to give.

        From then on the file does not grow: what comes takes the place of what was dropped.
        """
        write_back(self._engine)
        self._limit_size(is_limited=True)
        is_freed = self.free(calendar, is_full=True)
        while is_freed and self._drop():
            write_back(self._engine)
        return is_freed

    def grow_again(self) -> None:
        """The disk has room again."""
        if self.is_limited:
            self._limit_size(is_limited=False)

    def _limit_size(self, *, is_limited: bool) -> None:
        if self._engine.dialect.name != "sqlite":
            return
        with self._engine.connect() as connection:
            most = connection.scalar(text("PRAGMA page_count")) if is_limited else MOST_PAGES
            connection.exec_driver_sql(f"PRAGMA max_page_count={most}")
        self.is_limited = is_limited

    # --- time zone -----------------------------------------------------------------------------------

    def _rezone(self, keeping: Keeping, calendar: Calendar) -> bool:
        """After a change of the zone: hours and days are cut anew, as far back as there are quarters."""
        if self._zones:
            self._roller.rezone(self._zones[0], calendar)
            self._zones.popleft()
            if not self._zones:
                with self._engine.begin() as connection:
                    write_state(connection, self._gateway, "zone", keeping.zone)
            return True
        with self._engine.begin() as connection:
            known = read_state(connection, self._gateway).get("zone")
            if known == keeping.zone:
                return False
            oldest = self._oldest(connection, M15)
            if known is None or oldest is None:
                write_state(connection, self._gateway, "zone", keeping.zone)
                return False
            oldest = max(
                oldest, floors(connection, self._gateway)[M15.name]
            )  # what is before is being dropped
            old = Calendar(known)
            found = connection.execute(select(device).where(device.c.gateway == self._gateway)).all()
            for row in found:
                self._zones += cuts_of(connection, row.id, (oldest, row.last_ts_ms), old, calendar)
        return True

    # --- what there is -------------------------------------------------------------------------------

    def _series(self, connection: Connection, *, is_text: bool) -> list[list[int]]:
        wanted = (
            select(series.c.id)
            .join(device)
            .where(device.c.gateway == self._gateway, series.c.is_text.is_(is_text))
            .order_by(series.c.id)
        )
        ids = list(connection.scalars(wanted))
        return [ids[n : n + SERIES_PER_PIECE] for n in range(0, len(ids), SERIES_PER_PIECE)]

    def _oldest(self, connection: Connection, level: Level) -> int | None:
        """The oldest row of a level: one look into the key for each series."""
        table = level.table
        first = select(func.min(table.c.ts_ms)).where(table.c.series_id == series.c.id).scalar_subquery()
        wanted = (
            select(func.min(first))
            .select_from(series.join(device))
            .where(device.c.gateway == self._gateway, series.c.is_text.is_(False))
        )
        oldest: int | None = connection.scalar(wanted)
        return oldest
