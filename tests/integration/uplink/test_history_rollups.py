"""Rollups, retention and late data on SQLite and on a real PostgreSQL; figures worked out by hand."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ccm_contracts.config.services import Retention
from ccm_uplink.history.database import with_driver
from ccm_uplink.history.migrations import timescale
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.store import Store
from tests.integration.uplink.histories import Wall, ask, opened, settle, write
from tests.integration.uplink.site import GATEWAY, START, reading
from tests.support.postgres import Postgres, postgres_server, timescaledb_server

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OLD = Path(__file__).parent / "data" / "history-0001.sql"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with asyncio.Runner() as runner:
        server = postgres_server()
        yield runner.run(server.__aenter__())
        runner.run(server.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def timescaledb() -> Iterator[Postgres]:
    server = timescaledb_server()
    with asyncio.Runner() as runner:
        yield runner.run(server.__aenter__())
        runner.run(server.__aexit__(None, None, None))


@pytest.fixture(params=["sqlite", "postgresql", "timescaledb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    fixture = "postgres" if request.param == "postgresql" else "timescaledb"
    server: Postgres = request.getfixturevalue(fixture)
    return server.another(f"ccm_{uuid.uuid4().hex}")


@pytest.fixture
def wall() -> Wall:
    return Wall(START)


@pytest.fixture
async def store(url: str, wall: Wall) -> AsyncIterator[Store]:
    made = await opened(url, wall)
    yield made
    await made.close()


def _count(store: Store, table: str) -> int:
    with store._writer.begin() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def _rollup(store: Store, table: str) -> list[tuple[Any, ...]]:
    wanted = f"SELECT n, mean, low, high, first, last, gain FROM {table} ORDER BY series_id, ts_ms"
    with store._writer.begin() as connection:
        return [tuple(row) for row in connection.execute(text(wanted))]


async def test_each_reading_is_stored_once(store: Store) -> None:
    readings = [reading(n, p=n, status="run") for n in range(50)]
    assert await write(store, readings) == 50
    assert await write(store, readings) == 0
    assert [point[1] for point in (await ask(store, **_hours(1)))["p"].points] == list(range(50))


def _hours(number: float, **more: object) -> dict[str, object]:
    return {"from": START, "to": START + number * HOUR, **more}


async def test_rollups_hold_mean_peak_and_what_was_counted(store: Store, wall: Wall) -> None:
    # 2 hours at 10 s: p is 100 but for one peak; the counter counts 0.1 kWh each time, and begins anew once
    readings = [
        reading(
            n,
            ts=START + n * timedelta(seconds=10),
            p=9000 if n == 200 else 100,
            e_imp=5000 + n / 10 if n < 360 else (n - 360) / 10,
        )
        for n in range(720)
    ]
    await write(store, readings)
    wall.set(START + 2 * HOUR)
    await settle(store, wall)
    assert [_count(store, name) for name in ("m1", "m15", "h1", "d1")] == [240, 16, 4, 2]
    hours = _rollup(store, "h1")
    assert hours[2] == (360, pytest.approx((359 * 100 + 9000) / 360), 100, 9000, None, 100, None)
    assert hours[0] == (360, pytest.approx(5017.95), 5000, 5035.9, 5000, 5035.9, pytest.approx(35.9))
    day = _rollup(store, "d1")[0]
    assert day[-1] == pytest.approx(35.9 + 35.9)  # the step to 0 counts nothing
    found = await ask(store, **_hours(2, aggregate="delta", interval="hour", metrics=["e_imp"]))
    assert [point[1] for point in found["e_imp"].points] == [pytest.approx(35.9), pytest.approx(35.9)]


async def test_late_readings_correct_every_rollup_and_only_once(store: Store, wall: Wall) -> None:
    await write(store, [reading(n, ts=START + n * MINUTE, p=100, e_imp=n) for n in range(120) if n != 50])
    wall.set(START + 3 * HOUR)
    await settle(store, wall)
    late = [reading(50, ts=START + 50 * MINUTE, p=7000, e_imp=50)]
    assert await write(store, late) == 1
    assert _count(store, "dirty") == 1
    assert await write(store, late) == 0
    await settle(store, wall)
    assert _count(store, "dirty") == 0
    for table in ("m15", "h1", "d1"):
        assert max(row[3] for row in _rollup(store, table)) == 7000
    assert sum(row[0] for row in _rollup(store, "h1")) == 240


async def test_readings_older_than_what_is_kept_go_to_the_rollups_once(store: Store, wall: Wall) -> None:
    store.keep(Keeping(retention=Retention(raw_days=1)))
    days = [reading(n, ts=START + n * HOUR, p=100, e_imp=n) for n in range(24 * 5)]
    await write(store, [each for each in days if each.seq != 10])
    wall.set(START + 5 * DAY)
    await settle(store, wall)
    assert _count(store, "sample") <= 2 * 26
    late = [days[10].model_copy(update={"values": {"p": 3000, "e_imp": 10}})]
    assert await write(store, late) == 1
    assert await write(store, late) == 0
    await settle(store, wall)
    assert sum(row[0] for row in _rollup(store, "d1")) == 2 * 120
    found = await ask(store, **_hours(120, aggregate="max", interval="day"))
    assert found["p"].points[0][1] == 3000
    energy = await ask(store, **_hours(120, aggregate="energy", interval="year"))
    assert energy["e_imp"].points[0][1] == 119


async def test_retention_drops_single_values_and_keeps_their_rollups(store: Store, wall: Wall) -> None:
    store.keep(Keeping(retention=Retention(raw_days=1, m1_days=2, m15_days=3, h1_days=30)))
    readings = [reading(n, ts=START + n * 5 * MINUTE, p=n) for n in range(12 * 24 * 6)]
    await write(store, readings)
    wall.set(START + 6 * DAY)
    await settle(store, wall)
    kept = [_count(store, name) for name in ("sample", "m1", "m15", "h1", "d1")]
    # a little more than the days: 15 minutes, 2 h, 26 h of lag and the border of the next longer period
    assert 288 <= kept[0] <= 292
    assert 2 * 288 <= kept[1] <= 2 * 288 + 4
    assert 3 * 96 <= kept[2] <= 3 * 96 + 5
    assert kept[3:] == [144, 7]
    # as stored: hours, then quarters, minutes, single values, none twice and none left out
    points = (await ask(store, **_hours(144)))["p"].points
    stamps = [point[0] for point in points]
    assert stamps == sorted(set(stamps))
    assert points[0][1:] == (5.5, 0, 11)
    assert points[-1][1] == readings[-1].values["p"]


@pytest.mark.parametrize(("latency_s", "each"), [(60, 1), (300, 5), (900, 15), (3600, 60)])
async def test_latency_stores_whole_periods_of_the_local_clock(
    store: Store, wall: Wall, latency_s: int, each: int
) -> None:
    zone = "Asia/Kolkata"  # UTC+05:30: its hours begin at half past
    store.keep(Keeping(latency_s=latency_s, zone=zone))
    readings = [reading(n, ts=START + n * timedelta(seconds=20), p=n, e_imp=n) for n in range(3 * 180)]
    await write(store, readings)
    wall.set(START + 3 * HOUR)
    await settle(store, wall)
    found = await ask(store, **_hours(3))
    assert found["p"].resolution_s == latency_s
    first = found["p"].points[0]
    at = datetime.fromtimestamp(first[0] / 1000, UTC)
    offset = 30 if latency_s == 3600 else 0
    assert (at - START) / MINUTE == offset
    begin = offset * 3
    assert first[1:] == (begin + (each * 3 - 1) / 2, begin, begin + each * 3 - 1)
    assert found["e_imp"].stat == "last"
    assert found["e_imp"].points[0][1] == begin + each * 3 - 1


@pytest.mark.parametrize(("latency_s", "width"), [(300, 5 * MINUTE), (900, 15 * MINUTE), (3600, HOUR)])
async def test_period_in_which_a_device_fell_silent_is_stored_once_it_is_over(
    store: Store, wall: Wall, latency_s: int, width: timedelta
) -> None:
    store.keep(Keeping(latency_s=latency_s))
    await write(store, [reading(n, ts=START + n * MINUTE, p=n) for n in range(2)])
    wall.set(START + width - 2 * MINUTE)
    await settle(store, wall)
    assert (await ask(store, **_hours(2)))["p"].points == []  # more may come
    wall.set(START + width + MINUTE)
    await settle(store, wall)
    assert [point[1:] for point in (await ask(store, **_hours(2)))["p"].points] == [(0.5, 0, 1)]


async def test_five_minutes_are_whole_wherever_the_range_begins_and_ends(store: Store, wall: Wall) -> None:
    store.keep(Keeping(latency_s=300))
    await write(store, [reading(n, ts=START + n * MINUTE, p=n) for n in range(30)])
    wall.set(START + HOUR)
    await settle(store, wall)
    query = {"from": START + 7 * MINUTE, "to": START + 18 * MINUTE}
    points = (await ask(store, **query))["p"].points
    # the periods that begin at minutes 10 and 15
    assert [point[1:] for point in points] == [(12, 10, 14), (17, 15, 19)]


async def test_latency_drops_single_readings_after_a_while(store: Store, wall: Wall) -> None:
    store.keep(Keeping(latency_s=900))
    await write(store, [reading(n, ts=START + n * MINUTE, p=n) for n in range(3 * 24 * 60)])
    wall.set(START + 3 * DAY)
    await settle(store, wall)
    assert 360 <= _count(store, "sample") <= 375
    assert 1440 <= _count(store, "m1") <= 1455
    points = (await ask(store, **_hours(72, metrics=["p"])))["p"].points
    assert len(points) == 3 * 96
    assert points[0][1:] == (7, 0, 14)


async def test_energy_by_local_day_across_both_changes_of_the_clock(store: Store, wall: Wall) -> None:
    store.keep(
        Keeping(zone="Europe/Madrid", retention=Retention(raw_days=0, m1_days=0, m15_days=0, h1_days=0))
    )
    # a constant load of 1 kW, counted each half hour: a day has as many kWh as hours
    for first, hours in (("2026-03-28T23:00", [23, 24]), ("2026-10-24T22:00", [25, 24])):
        begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
        day = [
            reading(n, ts=begin + (n - 1) * timedelta(minutes=30), e_imp=1000 + n / 2, p=1000)
            for n in range(sum(hours) * 2 + 2)
        ]
        await write(store, day)
        wall.set(begin + 3 * DAY)
        await settle(store, wall)
        span = {"from": begin, "to": begin + sum(hours) * HOUR}
        found = await ask(store, **span, aggregate="energy", interval="day")
        assert [point[1] for point in found["e_imp"].points] == hours
        assert [point[1] for point in found["p"].points] == [pytest.approx(each) for each in hours]
        assert found["p"].unit == "kWh"


async def test_change_of_the_zone_cuts_hours_and_days_anew(store: Store, wall: Wall) -> None:
    await write(store, [reading(n, ts=START + n * 15 * MINUTE, e_imp=n) for n in range(4 * 48)])
    wall.set(START + 2 * DAY)
    await settle(store, wall)
    store.keep(Keeping(zone="Asia/Kolkata"))
    await settle(store, wall)
    found = await ask(store, **_hours(48, aggregate="sum", interval="hour"))
    assert {point[0] // 60_000 % 60 for point in found["e_imp"].points} == {30}
    assert sum(float(point[1] or 0) for point in found["e_imp"].points) == sum(range(4 * 48))
    days = await ask(store, **_hours(48, aggregate="sum", interval="day"))
    assert sum(float(point[1] or 0) for point in days["e_imp"].points) == sum(range(4 * 48))


@pytest.mark.parametrize("latency_s", [0, 3600])
async def test_changes_of_the_zone_neither_lose_nor_double_anything(
    store: Store, wall: Wall, latency_s: int
) -> None:
    """Offsets of -3:30, +5:45, +9 and +1 h. With a latency the quarters of the first days are gone: six days of
    quarters, of which two are left, hold 576 values and 575 steps of a counter."""
    store.keep(Keeping(latency_s=latency_s, zone="UTC"))
    await write(store, [reading(n, ts=START + n * 15 * MINUTE, e_imp=n, p=1) for n in range(576)])
    wall.set(START + 6 * DAY)
    await settle(store, wall)
    for zone in ("America/St_Johns", "Asia/Kathmandu", "Asia/Tokyo", "Europe/Madrid"):
        store.keep(Keeping(latency_s=latency_s, zone=zone))
        await settle(store, wall)
        for unit in ("hour", "day", "month"):
            span = {"from": START - 2 * DAY, "to": START + 9 * DAY, "interval": unit}
            found = await ask(store, **span, aggregate="sum", metrics=["p"])
            found |= await ask(store, **span, aggregate="delta", metrics=["e_imp"])
            sums = {name: sum(float(point[1] or 0) for point in found[name].points) for name in found}
            assert sums == {"p": 576, "e_imp": 575}, (zone, unit)


@pytest.mark.parametrize("latency_s", [0, 3600])
async def test_late_readings_after_changes_of_the_zone_are_counted_once(
    store: Store, wall: Wall, latency_s: int
) -> None:
    """A reading each 75 minutes, seven minutes late between two others of a counter, after each change of the zone:
    the days that were cut there included. The counter has its 575 steps all the time."""
    store.keep(Keeping(latency_s=latency_s, zone="UTC"))
    await write(store, [reading(n, ts=START + n * 15 * MINUTE, e_imp=n, p=1) for n in range(576)])
    wall.set(START + 6 * DAY)
    await settle(store, wall)
    seq = 576
    for number, zone in enumerate(("America/St_Johns", "Asia/Kathmandu", "Asia/Tokyo", "Europe/Madrid")):
        store.keep(Keeping(latency_s=latency_s, zone=zone))
        await settle(store, wall)
        late = [
            reading(seq + n, ts=START + (n * 15 + 7) * MINUTE, e_imp=n + 0.5, p=1)
            for n in range(number, 575, 5)
        ]
        seq += 576
        await write(store, late)
        await settle(store, wall)
        for unit in ("hour", "day", "month"):
            span = {"from": START - 2 * DAY, "to": START + 9 * DAY, "interval": unit}
            found = await ask(store, **span, aggregate="sum", metrics=["p"])
            found |= await ask(store, **span, aggregate="delta", metrics=["e_imp"])
            sums = {name: sum(float(point[1] or 0) for point in found[name].points) for name in found}
            assert sums == {"p": 576 + 115 * (number + 1), "e_imp": 575}, (zone, unit)


async def test_database_of_the_first_release_is_brought_up_to_date(tmp_path: Path, wall: Wall) -> None:
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.executescript(OLD.read_text())
    connection.close()
    store = await opened(f"sqlite:///{tmp_path}/history.db", wall)
    assert await store.write([]) == 0
    wall.set(START + HOUR)
    await settle(store, wall)
    # made by the first release: 150 s of p = 100 + n % 60, e_imp = 1000 + n / 10
    found = await ask(store, **_hours(1, metrics=["p", "e_imp", "status"]))
    assert [point[1] for point in found["p"].points[:3]] == [100, 101, 102]
    assert len(found["p"].points) == 150
    minutes = await ask(store, **_hours(1, aggregate="mean", interval="minute", metrics=["p"]))
    assert minutes["p"].points[0][1:] == (129.5, 100, 159)
    energy = await ask(store, **_hours(1, aggregate="energy", metrics=["e_imp"]))
    assert energy["e_imp"].points[0][1] == pytest.approx(14.9)
    await store.close()


async def test_ledger_of_another_gateway_in_the_same_database_is_apart(url: str, store: Store) -> None:
    await write(store, [reading(n, p=n) for n in range(3)])
    other = Store(url, "CCM000099")
    await other.open()
    assert (await other.ledger()).devices == []
    await other.close()
    assert (await store.ledger()).devices[0].readings == 3
    assert GATEWAY != "CCM000099"


async def test_postgresql_that_does_not_preload_timescaledb_does_without(
    postgres: Postgres, wall: Wall
) -> None:
    """Installed or not: CREATE EXTENSION without the preloaded library would end the connection."""
    store = await opened(postgres.another(f"ccm_{uuid.uuid4().hex}"), wall)
    with store._writer.begin() as connection:
        assert not timescale.is_available(connection)
    assert await write(store, [reading(1, p=1)]) == 1
    await store.close()


def _run_compression(store: Store) -> None:
    """Run the policies as TimescaleDB's scheduler would: procedures that commit for themselves."""
    wanted = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
    with store._writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        jobs = connection.execute(text(wanted)).scalars().all()
        assert len(jobs) == 2
        for job in jobs:
            connection.execute(text(f"CALL run_job({job})"))


async def test_timescaledb_compresses_and_late_readings_and_retention_reach_what_is_compressed(
    timescaledb: Postgres, wall: Wall
) -> None:
    store = await opened(timescaledb.another(f"ccm_{uuid.uuid4().hex}"), wall)
    await write(store, [reading(n, ts=START + n * HOUR, p=100, e_imp=n) for n in range(24 * 10) if n != 30])
    wall.set(START + 10 * DAY)
    await settle(store, wall)
    with store._writer.begin() as connection:
        tables = (
            "SELECT hypertable_name, compression_enabled FROM timescaledb_information.hypertables ORDER BY 1"
        )
        assert [tuple(row) for row in connection.execute(text(tables))] == [("m1", True), ("sample", True)]
    _run_compression(store)
    with store._writer.begin() as connection:
        packed = (
            "SELECT count(*) FROM timescaledb_information.chunks "
            "WHERE hypertable_name = 'sample' AND is_compressed"
        )
        assert int(connection.scalar(text(packed)) or 0) >= 9
    late = [reading(30, ts=START + 30 * HOUR, p=7000, e_imp=30)]
    assert await write(store, late) == 1
    assert await write(store, late) == 0
    await settle(store, wall)
    assert max(row[3] for row in _rollup(store, "d1")) == 7000
    assert sum(row[0] for row in _rollup(store, "d1")) == 2 * 24 * 10
    store.keep(Keeping(retention=Retention(raw_days=2, m1_days=5)))
    await settle(store, wall)
    assert _count(store, "sample") <= 2 * 50
    assert sum(row[0] for row in _rollup(store, "d1")) == 2 * 24 * 10
    await store.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_every_address_of_postgresql_means_the_installed_driver(scheme: str) -> None:
    assert with_driver(f"{scheme}://u:p@db/ccm").drivername == "postgresql+psycopg"
