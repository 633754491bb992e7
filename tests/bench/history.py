"""How fast a year of minutes is answered, beside SQLite's own time for the same rows: `python -m tests.bench.history`.

The year is written as an outage's backlog is: batches of 500 readings, then the background work to its end.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from ccm_contracts.config.services import Retention
from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_uplink.history.retention import Keeping
from tests.integration.uplink.histories import Wall, opened, settle, write
from tests.integration.uplink.site import START, reading

MINUTES = 365 * 1440
YEAR = timedelta(days=365)
RUNS = 9
FOR_EVER = Retention(raw_days=0, m1_days=0, m15_days=0, h1_days=0)


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "history.db"
        wall = Wall(START + YEAR)
        store = await opened(f"sqlite:///{path}", wall, Keeping(retention=FOR_EVER))
        began = time.perf_counter()
        for first in range(0, MINUTES, 5000):
            readings = [
                reading(n, ts=START + n * timedelta(minutes=1), p=float(n * 7919 % 5000))
                for n in range(first, min(MINUTES, first + 5000))
            ]
            await write(store, readings)
        print(f"written            {time.perf_counter() - began:8.1f} s   {MINUTES} readings of one metric")
        began = time.perf_counter()
        await settle(store, wall)
        print(f"rolled up          {time.perf_counter() - began:8.1f} s")
        print(f"size               {path.stat().st_size / 1e6:8.1f} MB")
        query = HistoryQuery.model_validate(
            {"device": "grid", "metrics": ["p"], "from": START, "to": START + YEAR, "points": 500}
        )
        answer = (await store.history(query)).series[0]
        print(f"resolution         {answer.resolution_s / 3600:8.1f} h   {len(answer.points)} points")
        assert len(answer.points) <= 500
        assert answer.resolution_s == 18 * 3600  # hours answer: 8760 rows and not 525,600
        assert max(point[3] or 0 for point in answer.points) == 4999
        await _timed("a year, 500 points", lambda: store.history(query))
        for aggregate, interval in (("mean", "day"), ("energy", "month"), ("max", "hour")):
            asked = query.model_copy(update={"points": None, "aggregate": aggregate, "interval": interval})
            await _timed(f"{aggregate} by {interval}", lambda asked=asked: store.history(asked))  # type: ignore[misc]
        print(
            f"SQLite, raw rows   {_bare(path) * 1000:8.1f} ms  the same 500 points, grouped by SQLite alone"
        )
        await store.close()


async def _timed(name: str, ask: Callable[[], Awaitable[object]]) -> None:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began)
    print(f"{name:<18} {statistics.median(times) * 1000:8.1f} ms  median of {RUNS}")


def _bare(path: Path) -> float:
    connection = sqlite3.connect(path)
    wanted = "SELECT ts_ms / 63072000, avg(value), min(value), max(value) FROM sample GROUP BY 1"
    times = []
    for _ in range(3):
        began = time.perf_counter()
        connection.execute(wanted).fetchall()
        times.append(time.perf_counter() - began)
    connection.close()
    return min(times)


if __name__ == "__main__":
    asyncio.run(main())
