"""The history database: each reading once, questions answered, failures told apart. SQLite on disk."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import ccm_uplink.history
from ccm_contracts.messages import Balance, Reading
from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_uplink.history.rows import Rows, rows_of
from ccm_uplink.history.store import DatabaseError, Store
from ccm_uplink.history.tables import HEAD
from ccm_uplink.history.upgrade import run_migrations
from tests.integration.uplink.site import GATEWAY, START, reading

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema, made once."""
    path = tmp_path_factory.mktemp("history") / "empty.db"
    run_migrations(f"sqlite:///{path}")
    return path


@pytest.fixture
async def store(tmp_path: Path, empty: Path) -> AsyncIterator[Store]:
    shutil.copy(empty, tmp_path / "history.db")
    opened = Store(f"sqlite:///{tmp_path}/history.db", GATEWAY)
    await opened.open()
    yield opened
    await opened.close()


def _rows(*readings: Reading | Balance) -> list[Rows]:
    return [rows_of(each) for each in readings]


def _query(**more: object) -> HistoryQuery:
    given = {"device": "grid", "from": START, "to": START + 60 * MINUTE, **more}
    return HistoryQuery.model_validate(given)


def test_head_is_the_newest_migration() -> None:
    config = Config()
    folder = Path(ccm_uplink.history.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_database_is_safe_against_a_power_cut(store: Store, tmp_path: Path) -> None:
    # synchronous=FULL is 2, https://sqlite.org/pragma.html#pragma_synchronous
    with sqlite3.connect(tmp_path / "history.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    with store._writer.connect() as used:
        assert used.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert used.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


async def test_first_opening_makes_the_schema(tmp_path: Path) -> None:
    fresh = Store(f"sqlite:///{tmp_path}/new/history.db", GATEWAY)
    await fresh.open()
    assert await fresh.write(_rows(reading(1))) == 1
    await fresh.close()


async def test_opening_again_keeps_what_is_stored(store: Store, tmp_path: Path) -> None:
    await store.write(_rows(reading(1)))
    again = Store(f"sqlite:///{tmp_path}/history.db", GATEWAY)
    await again.open()
    assert (await again.ledger()).devices[0].readings == 1
    await again.close()


async def test_delivered_twice_is_stored_once(store: Store) -> None:
    assert await store.write(_rows(reading(1), reading(2), reading(2))) == 2
    assert await store.write(_rows(reading(2), reading(3))) == 1
    assert (await store.ledger()).devices[0].readings == 3
    (series,) = (await store.history(_query())).series
    assert [point[1] for point in series.points] == [10, 20, 30]


async def test_ledger_shows_a_gap(store: Store) -> None:
    await store.write(_rows(reading(5), reading(6), reading(9)))
    (row,) = (await store.ledger()).devices
    assert (row.first_seq, row.last_seq, row.readings) == (5, 9, 3)
    assert row.last_ts == START + timedelta(seconds=9)


async def test_device_whose_seq_starts_anew_loses_nothing(store: Store) -> None:
    await store.write(_rows(reading(1), reading(2)))
    assert await store.write(_rows(reading(1, ts=START + MINUTE))) == 1


async def test_stored_values_come_with_unit_and_without_nulls(store: Store) -> None:
    await store.write(_rows(reading(1, p=5, v1=230.1, status="run", e_imp=None)))
    found = {series.metric: series for series in (await store.history(_query())).series}
    stamp = 1_777_636_801_000  # date -u -d 2026-05-01T12:00:01Z +%s%3N
    assert found.keys() == {"p", "v1", "status"}
    assert (found["v1"].unit, found["v1"].resolution_s, found["v1"].points) == (
        "V",
        0,
        [(stamp, 230.1, 230.1, 230.1)],
    )
    assert found["status"].points == [(stamp, "run", None, None)]


async def test_balance_is_a_series_of_its_plant(store: Store) -> None:
    values = {"p_prod": 10, "p_grid": -4, "p_load": 6, "p_self": 6, "p_exp": 4, "p_imp": 0}
    balance = Balance(gateway=GATEWAY, plant="house", ts=START, self_consumption=0.6, **values)
    await store.write(_rows(balance, balance))
    found = {series.metric: series for series in (await store.history(_query(device="house"))).series}
    assert {name: series.points[0][1] for name, series in found.items()} == {
        **values,
        "self_consumption": 0.6,
    }
    assert found["p_load"].unit == "W"
    assert found["self_consumption"].unit == ""
    assert (await store.ledger()).devices[0].readings == 1


async def test_points_keep_the_peak_of_each_interval(store: Store) -> None:
    await store.write(_rows(*(reading(n, p=5000 if n == 70 else 100) for n in range(120))))
    query = _query(to=START + 2 * MINUTE, points=2, metrics=["p"])
    (series,) = (await store.history(query)).series
    first, second = series.points
    assert series.resolution_s == 60
    assert first[1:] == (100, 100, 100)
    assert second[1] == pytest.approx((59 * 100 + 5000) / 60)
    assert second[2:] == (100, 5000)
    assert second[0] - first[0] == 60_000


async def test_points_of_a_text_are_the_last_of_each_interval(store: Store) -> None:
    await store.write(_rows(*(reading(n, status=f"s{n}") for n in range(120))))
    (series,) = (await store.history(_query(to=START + 2 * MINUTE, points=2))).series
    assert [point[1] for point in series.points] == ["s59", "s119"]


async def test_pages_join_without_repeat_or_gap(store: Store) -> None:
    total = 10_500
    readings = [reading(n, p=n, q=-n) for n in range(total)]
    await store.write(_rows(*readings))
    query = _query(to=START + timedelta(seconds=total))
    seen: list[float | str | None] = []
    pages = 0
    while True:
        answer = await store.history(query)
        pages += 1
        assert sum(len(series.points) for series in answer.series) <= 10_000
        seen += [point[1] for point in answer.series[0].points]
        if answer.next_from is None:
            break
        query = query.model_copy(update={"start": answer.next_from})
    assert seen == [float(n) for n in range(total)]
    assert pages == 3


async def test_unknown_device_and_metric_answer_nothing(store: Store) -> None:
    await store.write(_rows(reading(1)))
    assert (await store.history(_query(device="none"))).series == []
    assert (await store.history(_query(metrics=["soc"]))).series == []


async def test_locked_database_is_told_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    await store.write(_rows(reading(1)))
    with store._writer.connect() as used:
        used.exec_driver_sql("PRAGMA busy_timeout=50")
        used.rollback()
    other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseError, match="locked"):
        await store.write(_rows(reading(2)))
    assert (await store.ledger()).devices[0].readings == 1  # reading does not wait for the writer
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(_rows(reading(2))) == 1


async def test_full_disk_is_told_and_nothing_is_lost(store: Store) -> None:
    await store.write(_rows(reading(0)))
    with store._writer.connect() as used:
        pages = used.exec_driver_sql("PRAGMA page_count").scalar()
        used.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        used.rollback()
    many = _rows(*(reading(n, p_dc1=n, p_dc2=n, p_dc3=n, p_dc4=n, p_dc5=n, p_dc6=n) for n in range(1, 500)))
    with pytest.raises(DatabaseError, match="full"):
        await store.write(many)
    with store._writer.connect() as used:
        used.exec_driver_sql("PRAGMA max_page_count=1000000")
        used.rollback()
    assert await store.write(many) == 499
    assert (await store.ledger()).devices[0].readings == 500


async def test_unwritable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    store = Store(f"sqlite:///{tmp_path}/history.db", GATEWAY)
    with pytest.raises(DatabaseError, match="unable to open"):
        await store.open()
    await store.close()


async def test_schema_of_a_newer_program_is_not_touched(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    newer = Store(f"sqlite:///{tmp_path}/history.db", GATEWAY)
    with pytest.raises(DatabaseError, match="9999"):
        await newer.open()
    await newer.close()
