"""The database from asyncio's side: one thread writes, another one answers, so that no question delays a reading."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from ccm_contracts.messages import Event
from ccm_contracts.verbs.uplink import GapsAnswer, GapsQuery, HistoryAnswer, HistoryQuery, Ledger
from ccm_kit.errors import UnavailableError
from ccm_uplink.history.calendar import Calendar
from ccm_uplink.history.database import is_at_head, reader_engine, writer_engine
from ccm_uplink.history.reader import Reader
from ccm_uplink.history.repository import Repository
from ccm_uplink.history.reserve import Reserve
from ccm_uplink.history.retention import Keeping, Trimmed
from ccm_uplink.history.rows import Rows
from ccm_uplink.history.upgrade import UpgradeError, upgrade
from ccm_uplink.history.upkeep import Upkeep

T = TypeVar("T")


class DatabaseError(Exception):
    """The database does not take data now; trying again may help. The text names no password."""


class DatabaseRefusedError(DatabaseError):
    """The database refuses these rows for what they are; trying again does not help."""


class Store:
    """The history of one gateway in the database at `url`. Both threads' queues are bounded by their askers:

    the pump hands over one batch at a time, and the bus runs at most 32 questions.
    """

    def __init__(
        self, url: str, gateway: str, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._url = url
        self._now_ms = now_ms
        self._keeping = Keeping()
        self._calendar = Calendar("UTC")
        self._asking_calendar = Calendar("UTC")
        self._writer = writer_engine(url)
        self._reader = reader_engine(url)
        self._repository = Repository(self._writer, gateway)
        self._upkeep = Upkeep(self._writer, gateway)
        self._reserve = Reserve(url)
        self._questions = Reader(self._reader, gateway)
        self._writing = ThreadPoolExecutor(1, "history-write")
        self._reading = ThreadPoolExecutor(1, "history-read")
        self.is_open = False

    async def open(self) -> None:
        """Bring the schema up to date. Raises `DatabaseError`."""
        try:
            if not await self._write_thread(lambda: is_at_head(self._writer)):
                await upgrade(self._url)
            await self._write_thread(self._reserve.keep)
        except SQLAlchemyError as err:
            raise DatabaseError(_reason(err)) from err
        except (UpgradeError, TimeoutError, OSError) as err:
            raise DatabaseError(f"the database cannot be prepared: {err}") from err
        self.is_open = True

    async def write(self, rows: Sequence[Rows]) -> int:
        """Store a batch, or nothing of it; how many were new. Raises `DatabaseError`."""
        if not self.is_open:
            raise DatabaseError("the database is not ready")
        try:
            return await self._write_thread(
                lambda: self._repository.store(rows, self._calendar, self._now_ms())
            )
        except (DataError, IntegrityError) as err:
            raise DatabaseRefusedError(_reason(err)) from err
        except SQLAlchemyError as err:
            if is_full(err):
                await self._make_room()
            raise DatabaseError(_reason(err)) from err

    async def note(self, events: Sequence[Event]) -> None:
        """Keep the events that explain gaps. Raises `DatabaseError`."""
        try:
            await self._write_thread(lambda: self._repository.note(events))
        except SQLAlchemyError as err:
            raise DatabaseError(_reason(err)) from err

    def keep(self, keeping: Keeping) -> None:
        """From now on keep so much, and cut hours and days by this zone."""
        self._keeping = keeping
        # One for each thread: it remembers where it was last.
        self._calendar, self._asking_calendar = Calendar(keeping.zone), Calendar(keeping.zone)

    async def upkeep(self) -> bool:
        """Do one bounded piece of the background work; false when there is none for now. Raises `DatabaseError`."""
        keeping, calendar = self._keeping, self._calendar
        try:
            has_more = await self._write_thread(lambda: self._upkeep.piece(self._now_ms(), keeping, calendar))
        except SQLAlchemyError as err:
            if is_full(err):
                await self._make_room()
            raise DatabaseError(_reason(err)) from err
        if not has_more and await self._write_thread(self._reserve.keep):
            await self._write_thread(self._upkeep.grow_again)
        return has_more

    async def _make_room(self) -> None:
        """A full disk: give up the oldest values. What does not fit stays on the bus and is tried again."""
        if self._upkeep.is_limited and await self._write_thread(self._reserve.keep):
            await self._write_thread(self._upkeep.grow_again)  # only our own limit was reached
            return
        self._reserve.give_up()
        with suppress(SQLAlchemyError):
            await self._write_thread(lambda: self._upkeep.free_now(self._calendar))

    @property
    def is_full(self) -> bool:
        """Whether the disk was full and has no room yet."""
        return self._upkeep.is_limited

    def trimmed(self) -> Trimmed | None:
        """What was dropped for want of space since this was last asked."""
        found, self._upkeep.trimmed = self._upkeep.trimmed, None
        return found

    async def history(self, query: HistoryQuery) -> HistoryAnswer:
        """Raises `RefusedError` and `UnavailableError`."""
        self._must_be_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._reading,
            self._questions.history,
            query,
            self._keeping,
            self._asking_calendar,
            self._now_ms(),
            time.monotonic(),
        )

    async def gaps(self, query: GapsQuery) -> GapsAnswer:
        """Raises `RefusedError` and `UnavailableError`."""
        self._must_be_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._reading, self._questions.gaps, query, self._now_ms(), time.monotonic()
        )

    async def ledger(self) -> Ledger:
        """Raises `RefusedError` and `UnavailableError`."""
        self._must_be_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, self._questions.ledger, time.monotonic())

    async def close(self) -> None:
        """Finish what is being written."""
        for pool, engine in ((self._reading, self._reader), (self._writing, self._writer)):
            await asyncio.get_running_loop().run_in_executor(pool, engine.dispose)
            pool.shutdown(wait=False)
        self.is_open = False

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise UnavailableError("the history database is not ready")

    async def _write_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, act)


def is_full(err: SQLAlchemyError) -> bool:
    """Whether the disk has no room: SQLITE_FULL, or PostgreSQL's class 53100."""
    driver = err.orig if isinstance(err, DBAPIError) else None
    return (
        getattr(driver, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(driver, "sqlstate", "") == "53100"
    )


def _reason(err: SQLAlchemyError) -> str:
    """The driver's own words; SQLAlchemy's hold the statement and its values."""
    driver = err.orig if isinstance(err, DBAPIError) else None
    return f"the database does not take data: {driver or type(err).__name__}"[:300]
