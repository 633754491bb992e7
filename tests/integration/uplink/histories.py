"""What the tests of the history database share: stores on SQLite and PostgreSQL, and settled rollups."""

from collections.abc import Sequence
from datetime import datetime

from ccm_contracts.messages import Balance, Reading
from ccm_contracts.verbs.uplink import HistoryQuery, Series
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.rows import Rows, ms_of, rows_of
from ccm_uplink.history.store import Store
from tests.integration.uplink.site import GATEWAY, START, reading

PIECES: int = 20_000


class Wall:
    """The clock on the wall, in milliseconds."""

    def __init__(self, now: datetime = START) -> None:
        self.ms = ms_of(now)

    def __call__(self) -> int:
        return self.ms

    def set(self, now: datetime) -> None:
        self.ms = ms_of(now)


async def opened(url: str, wall: Wall, keeping: Keeping | None = None) -> Store:
    store = Store(url, GATEWAY, wall)
    await store.open()
    store.keep(keeping or Keeping())
    return store


def rows(*readings: Reading | Balance) -> list[Rows]:
    return [rows_of(each) for each in readings]


async def write(store: Store, readings: Sequence[Reading | Balance]) -> int:
    """In batches, as the pump hands them over; how many were new."""
    batches = [readings[n : n + 500] for n in range(0, len(readings), 500)]
    return sum([await store.write(rows(*batch)) for batch in batches])


async def settle(store: Store, wall: Wall) -> None:
    """Do all the background work that there is; the wall's clock goes on by a minute."""
    wall.ms += 60_000
    for _ in range(PIECES):
        if not await store.upkeep():
            return
    raise AssertionError("the upkeep does not come to an end")


async def ask(store: Store, **query: object) -> dict[str, Series]:
    """The series by metric; of device `grid` unless told otherwise."""
    answer = await store.history(HistoryQuery.model_validate({"device": "grid", **query}))
    return {series.metric: series for series in answer.series}


__all__ = ["PIECES", "START", "Wall", "ask", "opened", "reading", "rows", "settle", "write"]
