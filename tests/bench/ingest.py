"""Readings a second from the bus into the history, beside a bare batch insert: `python -m tests.bench.ingest`.

A real NATS server holds a backlog; uplink runs as a process of its own. The reference are the same values as tuples,
inserted in batches into the same kind of table of the same file system, with the same safety settings. A reading costs
the bus and Python the same whatever it holds: with few values (`--metrics 8`) the ratio is lower than with many.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.metrics import METRICS
from ccm_kit.bus import Bus
from tests.integration.uplink.site import START, Uplink, on_bus, reading, uplink_process
from tests.support.nats import nats_server

DEVICES = 10
NUMBERS = [name for name, metric in METRICS.items() if metric.kind != "text"]
IN_FLIGHT = 256
REFERENCE_READINGS = 500
"""In a batch of the reference."""
LAST_BATCH = 2000
LIMIT_S = 300


async def _fill(bus: Bus, number: int, metrics: Sequence[str]) -> None:
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def publish(n: int) -> None:
        device = f"d{n % DEVICES}"
        ts = START + timedelta(seconds=n // DEVICES, milliseconds=n % DEVICES)
        values = {metric: 230.1 + place + n % 100 for place, metric in enumerate(metrics)}
        async with slots:
            await bus.publish(
                TELEMETRY, reading(n, device, ts, **values), msg_id=f"{device}-{n}", device=device
            )

    for first in range(0, number, 2000):
        await asyncio.gather(*(publish(n) for n in range(first, min(number, first + 2000))))


def _stored(path: Path) -> int:
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            found = connection.execute("SELECT total(readings) FROM device").fetchone()
        except sqlite3.OperationalError:
            return 0
    connection.close()
    return int(found[0])


def _bare(path: Path, number: int, metrics: Sequence[str]) -> float:
    """Values a second."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE bare (series_id INTEGER NOT NULL, ts_ms BIGINT NOT NULL, value FLOAT NOT NULL, "
        "PRIMARY KEY (series_id, ts_ms)) WITHOUT ROWID"
    )
    rows = [
        (place * DEVICES + n % DEVICES, n // DEVICES * 1000, 230.1 + place + n % 100)
        for n in range(number)
        for place in range(len(metrics))
    ]
    began = time.perf_counter()
    batch = REFERENCE_READINGS * len(metrics)
    for first in range(0, len(rows), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bare VALUES (?, ?, ?)", rows[first : first + batch])
        connection.execute("COMMIT")
    passed = time.perf_counter() - began
    connection.close()
    return len(rows) / passed


async def _rate(uplink: Uplink, number: int) -> float:
    """Readings a second from the first commit on; the last batch, which waits for more to come, is left out."""
    while (first := _stored(uplink.database)) == 0:  # noqa: ASYNC110 - another process writes
        await asyncio.sleep(0.002)
    began = time.perf_counter()
    rate = 0.0
    while (stored := _stored(uplink.database)) < number:
        passed = time.perf_counter() - began
        if stored > first and stored <= number - LAST_BATCH:
            rate = (stored - first) / passed
        if passed > LIMIT_S:
            sys.exit(f"only {stored} of {number} after {LIMIT_S} s\n{uplink.log}")
        await asyncio.sleep(0.01)
    return rate


async def main(number: int, metrics: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "nats").mkdir()
        async with nats_server(directory / "nats") as nats, on_bus(nats, "bus-reader") as reader:
            await _fill(reader, number, metrics)
            async with uplink_process(nats, directory) as uplink:
                rate = await _rate(uplink, number)
        bare = _bare(directory / "bare.db", min(number, 60_000), metrics)
        values = rate * len(metrics)
        print(f"bus to history     {rate:10,.0f} readings/s   {values:12,.0f} values/s")
        print(f"bare batch insert  {bare / len(metrics):10,.0f} readings/s   {bare:12,.0f} values/s")
        print(f"ratio              {values / bare:10.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=60_000)
    parser.add_argument("--metrics", type=int, default=24, help="values of each reading (default: 24)")
    given = parser.parse_args()
    asyncio.run(main(given.readings, NUMBERS[: given.metrics]))
