"""Readings a second from the bus into the history, beside a bare batch insert: `python -m tests.bench.ingest`.

A real NATS server holds a backlog that was published in order, as bus-reader does; uplink runs as a process of its own
and is timed from the first commit to the last. The reference, before and after it, inserts the same rows into the same
tables of a file beside it, in transactions of the same size and with the same settings. A reading costs the bus and
Python the same whatever it holds: with few values (`--metrics 8`) the ratio is lower than with many.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.metrics import METRICS
from ccm_kit.nats_link import NatsLink
from ccm_uplink.history.upgrade import run_migrations
from tests.integration.uplink.site import GATEWAY, START, Uplink, on_bus, reading, uplink_process
from tests.support.nats import NatsServer, nats_server

DEVICES: Final = 10
NUMBERS: Final = [name for name, metric in METRICS.items() if metric.kind != "text"]
UNCONFIRMED: Final = 2000
"""Messages that are sent before the stream is asked whether it has them."""
TOGETHER: Final = 2000
"""Readings of one transaction, as uplink's."""
LIMIT_S: Final = 300
LOOK_S: Final = 0.01
START_MS: Final = int(START.timestamp() * 1000)
PRAGMAS: Final = (
    "synchronous=FULL",
    "cache_size=-4096",
    "journal_size_limit=16777216",
)


async def _fill(nats: NatsServer, number: int, metrics: Sequence[str]) -> None:
    """In order, with the message ids that bus-reader gives."""
    link = NatsLink(nats.url, user="", password="", name="bus-reader")
    async with on_bus(nats, "bus-reader") as bus, link:
        for n in range(number):
            seq, place = divmod(n, DEVICES)
            device, ts = f"d{place}", START + timedelta(seconds=seq, milliseconds=place)
            values = {metric: 230.1 + at + n % 100 for at, metric in enumerate(metrics)}
            data = TELEMETRY.adapter.dump_json(reading(seq, device, ts, **values), by_alias=True)
            subject = TELEMETRY.subject(gw=GATEWAY, device=device)
            await link.client.publish(subject, data, headers={"Nats-Msg-Id": f"{device}-{seq}"})
            if n % UNCONFIRMED == UNCONFIRMED - 1 or n == number - 1:
                while (await bus.stream_facts(TELEMETRY)).messages <= n:  # noqa: ASYNC110 - a server
                    await asyncio.sleep(LOOK_S)


async def _rate(uplink: Uplink, number: int) -> tuple[float, float]:
    """Readings a second from the first commit to the last, and uplink's CPU time for each in us."""
    began, first, cpu_s = 0.0, 0, 0.0
    while not uplink.database.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(LOOK_S)
    with closing(sqlite3.connect(f"file:{uplink.database}?mode=ro", uri=True)) as connection:
        while True:
            stored, now = _stored(connection), time.perf_counter()
            if stored and not first:
                began, first, cpu_s = now, stored, _cpu_s(uplink.pid)
            if stored >= number:
                own_s = _cpu_s(uplink.pid) - cpu_s
                return (stored - first) / (now - began), own_s * 1e6 / (stored - first)
            if first and now - began > LIMIT_S:
                sys.exit(f"only {stored} of {number} after {LIMIT_S} s\n{uplink.log}")
            await asyncio.sleep(LOOK_S)


def _cpu_s(pid: int) -> float:
    """User and system time of a process (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stored(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute("SELECT total(readings) FROM device").fetchone()[0])
    except sqlite3.OperationalError:  # the schema is not there yet
        return 0


def _bare(path: Path, number: int, metrics: int) -> float:
    """Readings a second into the tables as uplink makes them."""
    run_migrations(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        batches = list(_batches(number, metrics))
        began = time.perf_counter()
        for readings, samples in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?)", readings)
            connection.executemany("INSERT INTO sample VALUES (?, ?, ?)", samples)
            connection.execute("COMMIT")
        return number / (time.perf_counter() - began)


def _batches(
    number: int, metrics: int
) -> Iterator[tuple[list[tuple[int, ...]], list[tuple[int, int, float]]]]:
    for first in range(0, number, TOGETHER):
        part = range(first, min(number, first + TOGETHER))
        stamp = {n: START_MS + n // DEVICES * 1000 + n % DEVICES for n in part}
        yield (
            [(n % DEVICES, stamp[n], n // DEVICES, 0) for n in part],
            [
                (place * DEVICES + n % DEVICES, stamp[n], 230.1 + place + n % 100)
                for n in part
                for place in range(metrics)
            ],
        )


async def measured(number: int, metrics: Sequence[str]) -> dict[str, float]:
    """Readings a second of uplink and of both references, and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "nats").mkdir()
        async with nats_server(directory / "nats") as nats:
            await _fill(nats, number, metrics)
            before = _bare(directory / "before.db", number, len(metrics))
            async with uplink_process(nats, directory) as uplink:
                rate, cpu_us = await _rate(uplink, number)
            after = _bare(directory / "after.db", number, len(metrics))
        return {
            "readings_per_s": rate,
            "cpu_us": cpu_us,
            "bare_before_per_s": before,
            "bare_after_per_s": after,
            "ratio": rate / ((before + after) / 2),
        }


async def main(number: int, metrics: Sequence[str]) -> None:
    found = await measured(number, metrics)
    rate, cpu_us = found["readings_per_s"], found["cpu_us"]
    before, after = found["bare_before_per_s"], found["bare_after_per_s"]
    print(
        f"bus to history     {rate:10,.0f} readings/s of {len(metrics)} values, {cpu_us:.0f} us of CPU each"
    )
    print(f"bare batch insert  {before:10,.0f} before, {after:,.0f} after")
    print(f"ratio              {found['ratio']:10.2f}   (load of the machine {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=100_000)
    parser.add_argument("--metrics", type=int, default=8)
    options = parser.parse_args()
    asyncio.run(main(options.readings, NUMBERS[: options.metrics]))
