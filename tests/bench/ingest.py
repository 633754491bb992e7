"""Readings a second from the bus into the history, beside a bare batch insert: `python -m tests.bench.ingest`.

A real NATS server holds a backlog; uplink runs as a process of its own. The reference are the same values as tuples,
inserted in batches into the same kind of table of the same file system, with the same safety settings.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from ccm_contracts.channels import TELEMETRY
from ccm_kit.bus import Bus
from tests.integration.uplink.site import START, Uplink, on_bus, reading, uplink_process
from tests.support.nats import nats_server

DEVICES = 10
METRICS = ("p", "p1", "p2", "p3", "v1", "v2", "v3", "e_imp")
IN_FLIGHT = 256
REFERENCE_BATCH = 4000
"""As many values as 500 readings have."""
LAST_BATCH = 2000
LIMIT_S = 300


async def _fill(bus: Bus, number: int) -> None:
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def publish(n: int) -> None:
        device = f"d{n % DEVICES}"
        ts = START + timedelta(seconds=n // DEVICES, milliseconds=n % DEVICES)
        values = {metric: 230.1 + place + n % 100 for place, metric in enumerate(METRICS)}
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


def _bare(path: Path, number: int) -> float:
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
        for place in range(len(METRICS))
    ]
    began = time.perf_counter()
    for first in range(0, len(rows), REFERENCE_BATCH):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bare VALUES (?, ?, ?)", rows[first : first + REFERENCE_BATCH])
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


async def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "nats").mkdir()
        async with nats_server(directory / "nats") as nats, on_bus(nats, "bus-reader") as reader:
            await _fill(reader, number)
            async with uplink_process(nats, directory) as uplink:
                rate = await _rate(uplink, number)
        bare = _bare(directory / "bare.db", min(number, 60_000))
        values = rate * len(METRICS)
        print(f"bus to history     {rate:10,.0f} readings/s   {values:12,.0f} values/s")
        print(f"bare batch insert  {bare / len(METRICS):10,.0f} readings/s   {bare:12,.0f} values/s")
        print(f"ratio              {values / bare:10.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=60_000)
    asyncio.run(main(parser.parse_args().readings))
