"""Questions about a long history: resolution, peaks, pages, gaps, space. Figures worked out by hand."""

import random
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ccm_contracts.config.services import Retention
from ccm_contracts.messages import Balance, Event, Reading
from ccm_contracts.verbs.uplink import Gap, GapsQuery, HistoryQuery
from ccm_kit.errors import RefusedError
from ccm_uplink.history.database import size_of
from ccm_uplink.history.levels import D1, H1, M1, M15, RAW, Level
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.segments import level_for, segments
from ccm_uplink.history.store import DatabaseError, Store
from tests.integration.uplink.histories import Wall, ask, opened, settle, write
from tests.integration.uplink.site import GATEWAY, START, reading

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
YEAR_MS = 365 * 86_400_000


@pytest.fixture
def wall() -> Wall:
    return Wall(START)


@pytest.fixture
async def store(tmp_path: Path, wall: Wall) -> AsyncIterator[Store]:
    made = await opened(f"sqlite:///{tmp_path}/history.db", wall)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("interval_ms", "level"),
    [
        (1000, RAW),
        (59_999, RAW),
        (60_000, M1),
        (15 * 60_000, M15),
        (YEAR_MS // 500, H1),  # a year to 500 points: 17.5 h each
        (30 * 86_400_000, D1),
    ],
)
def test_coarsest_level_that_fits_answers(interval_ms: int, level: Level) -> None:
    assert level_for(interval_ms) is level


def test_range_is_answered_by_what_is_kept_of_it() -> None:
    floors = {"raw": 500, "m1": 300, "m15": 200, "h1": 0, "d1": 0}
    assert segments(RAW, 100, 1000, floors, 900) == [
        (H1, 100, 200),
        (M15, 200, 300),
        (M1, 300, 500),
        (RAW, 500, 1000),
    ]
    assert segments(M15, 100, 1000, floors, 900) == [(H1, 100, 200), (M15, 200, 900), (RAW, 900, 1000)]
    assert segments(H1, 950, 1000, floors, 900) == [(RAW, 950, 1000)]


async def test_no_peak_disappears_whatever_the_range(store: Store, wall: Wall) -> None:
    chance = random.Random(7)
    values = [chance.randint(-500, 500) for _ in range(3 * 1440)]
    values[1000], values[3333] = 99_999, -77_777
    await write(store, [reading(n, ts=START + n * MINUTE, p=value) for n, value in enumerate(values)])
    wall.set(START + 3 * DAY)
    await settle(store, wall)
    for points in (1, 7, 50, 500, 3000, 10_000):
        found = (await ask(store, **{"from": START, "to": START + 3 * DAY}, points=points))["p"].points
        assert len(found) <= points
        assert max(point[3] or 0 for point in found) == 99_999
        assert min(point[2] or 0 for point in found) == -77_777
        if points <= 500:  # every interval has the same number of values but for the borders
            mean = sum(float(point[1] or 0) for point in found) / len(found)
            assert mean == pytest.approx(sum(values) / len(values), rel=0.2)


async def test_newest_readings_are_in_every_answer_at_once(store: Store, wall: Wall) -> None:
    await write(store, [reading(n, ts=START + n * MINUTE, p=1, e_imp=n) for n in range(120)])
    wall.set(START + 2 * HOUR)
    await settle(store, wall)
    await write(store, [reading(200, ts=START + 2 * HOUR + 5 * SECOND, p=5000, e_imp=130)])
    span = {"from": START, "to": START + 3 * HOUR}
    assert (await ask(store, **span, points=3))["p"].points[-1][3] == 5000
    hourly = await ask(store, **span, aggregate="delta", interval="hour")
    assert [point[1] for point in hourly["e_imp"].points] == [59, 60, 11]


async def test_energy_of_readings_without_rollups_begins_at_the_reading_before(
    store: Store, wall: Wall
) -> None:
    """1 kWh an hour; minutes were made of the first day only when the third is asked for."""
    begin = START.replace(hour=0)
    hours = [reading(n, ts=begin + n * HOUR, e_imp=n) for n in range(72)]
    await write(store, hours[:24])
    wall.set(begin + DAY)
    await settle(store, wall)
    await write(store, hours[24:])
    span = {"from": begin + 2 * DAY, "to": begin + 3 * DAY}
    found = (await ask(store, **span, aggregate="energy", interval="hour"))["e_imp"].points
    assert [point[1] for point in found] == [1.0] * 24


@pytest.mark.parametrize("is_settled", [False, True])
async def test_energy_follows_the_accumulated_counter(store: Store, wall: Wall, is_settled: bool) -> None:
    """The meter jitters, is exchanged for a used one, and shows nonsense once; 1 kWh an hour was counted all along.

    In the first hour there was no accumulated counter yet.
    """
    shown = [10, 11, 12, 11.99, 12, 13, 5000, 5001, 5002, 90_000, 5003]
    counted = [None, None, 12, 12, 12, 13, 13, 14, 15, 15, 16]
    rows = [
        reading(n, ts=START + n * HOUR, e_imp=own, e_imp_acc=total)
        for n, (own, total) in enumerate(zip(shown, counted, strict=True))
    ]
    await write(store, rows)
    if is_settled:
        wall.set(START + DAY)
        await settle(store, wall)
    span = {"from": START, "to": START + 11 * HOUR}
    for aggregate in ("energy", "delta"):
        found = (await ask(store, **span, aggregate=aggregate, interval="hour", metrics=["e_imp"]))[
            "e_imp"
        ].points
        assert [point[1] for point in found] == [0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1]
    whole = await ask(store, **span, aggregate="energy", interval="year", metrics=["e_imp"])
    assert [point[1] for point in whole["e_imp"].points] == [
        4
    ]  # 12 to 16; nobody had looked before that year


async def test_several_devices_are_asked_for_at_once(store: Store) -> None:
    both = [reading(n, device, p=n) for n in range(3) for device in ("roof", "grid")]
    await write(store, both)
    query = HistoryQuery.model_validate(
        {"device": "grid", "devices": ["roof"], "metrics": ["p"], "from": START, "to": START + HOUR}
    )
    found = (await store.history(query)).series
    assert [(each.device, len(each.points)) for each in found] == [("grid", 3), ("roof", 3)]


@pytest.mark.parametrize("interval", ["minute", "hour", "month", "year"])
async def test_ever_since_is_one_page_of_what_is_kept(store: Store, wall: Wall, interval: str) -> None:
    """10 Wh a minute for two hours; before and after is nothing, and nothing is looked through."""
    await write(store, [reading(n, ts=START + n * MINUTE, e_imp=n / 100) for n in range(121)])
    wall.set(START + 3 * HOUR)
    await settle(store, wall)
    query = HistoryQuery.model_validate_json(
        f"""{{"device": "grid", "from": "0001-01-01T00:00:00+02:00", "to": "9999-12-31T23:59:59Z",
            "aggregate": "energy", "interval": "{interval}"}}"""
    )
    answer = await store.history(query)
    assert answer.next_from is None
    assert sum(float(point[1] or 0) for point in answer.series[0].points) == pytest.approx(1.2)
    assert len((await ask(store, **{"from": query.start, "to": query.end}, points=10))["e_imp"].points) == 1


async def test_what_has_no_energy_is_refused_with_the_field(store: Store) -> None:
    await write(store, [reading(1, v1=230)])
    with pytest.raises(RefusedError) as refused:
        await ask(store, **{"from": START, "to": START + HOUR}, aggregate="energy")
    assert refused.value.field == "aggregate"


async def test_many_periods_come_in_pages(store: Store, wall: Wall) -> None:
    await write(store, [reading(n, ts=START + n * MINUTE, p=n) for n in range(11_000)])
    wall.set(START + 8 * DAY)
    await settle(store, wall)
    query = HistoryQuery.model_validate(
        {"device": "grid", "from": START, "to": START + 8 * DAY, "aggregate": "mean", "interval": "minute"}
    )
    answer = await store.history(query)
    assert len(answer.series[0].points) == 10_000
    assert answer.next_from == START + 10_000 * MINUTE
    rest = await store.history(query.model_copy(update={"start": answer.next_from}))
    assert [point[1] for point in rest.series[0].points] == list(range(10_000, 11_000))


# --- space -------------------------------------------------------------------------------------------------


def _wide(number: int, begin: int = 0) -> list[Reading]:
    values: dict[str, Any] = {f"p_dc{n}": 1.5 + n for n in range(1, 9)}
    return [reading(n, ts=START + n * 2 * SECOND, **values) for n in range(begin, begin + number)]


async def test_budget_drops_the_oldest_readings_first_and_says_so(
    store: Store, wall: Wall, tmp_path: Path
) -> None:
    store.keep(Keeping(retention=Retention(), max_mb=4))
    await write(store, _wide(30_000))  # 240,000 values of some 18 bytes
    wall.set(START + 60_000 * SECOND)
    trimmed = None
    for _ in range(3):
        await settle(store, wall)
        trimmed = trimmed or store.trimmed()
    assert trimmed is not None
    assert (trimmed.level, trimmed.kind) == ("raw", "history-trimmed")
    span = {"from": START, "to": START + 60_000 * SECOND, "metrics": ["p_dc1"]}
    assert len((await ask(store, **span, points=100))["p_dc1"].points) >= 90  # minutes are all there
    stored = (await ask(store, **{**span, "from": START + 59_000 * SECOND}))["p_dc1"].points
    assert len(stored) == 500  # the newest readings too
    with store._writer.connect() as used:
        used.rollback()
        raw: Any = used.connection.driver_connection
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # then the file shrinks
    assert (tmp_path / "history.db").stat().st_size <= 4_000_000


async def test_backlog_that_is_rolled_keeps_to_the_budget(store: Store, wall: Wall) -> None:
    """A week of readings each 30 s came at once: its minutes take more room than they do, and theirs at last."""
    values: dict[str, Any] = {f"p_dc{n}": 1.5 + n for n in range(1, 9)}
    await write(store, [reading(n, ts=START + n * 30 * SECOND, **values) for n in range(20_000)])
    wall.set(START + 600_060 * SECOND)
    store.keep(Keeping(retention=Retention(), max_mb=6))
    largest = 0
    while await store.upkeep():
        largest = max(largest, _used_bytes(store))
    assert 5_500_000 < largest < 6_000_000 * 1.05  # without the budget it would be 9.5 MB
    span = {"from": START, "to": START + 600_000 * SECOND, "metrics": ["p_dc1"]}
    newest = (await ask(store, **{**span, "from": START + 597_000 * SECOND}))["p_dc1"].points
    assert len(newest) == 100  # single readings
    assert len((await ask(store, **span, aggregate="mean", interval="hour"))["p_dc1"].points) == 167


def _used_bytes(store: Store) -> int:
    with store._writer.connect() as connection:
        size, free = size_of(connection)
    return size - free


async def test_full_disk_gives_up_the_oldest_readings_and_goes_on(store: Store, wall: Wall) -> None:
    await write(store, _wide(10_000))
    wall.set(START + 20_000 * SECOND)
    await settle(store, wall)
    with store._writer.connect() as used:
        pages = used.exec_driver_sql("PRAGMA page_count").scalar()
        used.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        used.rollback()
    refused = 0
    more = _wide(3000, begin=10_000)
    for start in range(0, 3000, 500):
        for _ in range(50):
            try:
                await write(store, more[start : start + 500])
                break
            except DatabaseError:
                refused += 1
        else:
            raise AssertionError("the disk stays full")
    assert refused > 0
    trimmed = store.trimmed()
    assert trimmed is not None
    assert trimmed.kind == "history-disk-full"
    assert (await store.ledger()).devices[0].readings == 13_000
    span = {"from": START + 20_000 * SECOND, "to": START + 26_000 * SECOND, "metrics": ["p_dc1"]}
    assert len((await ask(store, **span))["p_dc1"].points) == 3000


# --- gaps --------------------------------------------------------------------------------------------------


async def _gaps(store: Store, device: str = "grid", hours: float = 1) -> list[Gap]:
    query = GapsQuery.model_validate({"device": device, "from": START, "to": START + hours * HOUR})
    return (await store.gaps(query)).gaps


def _event(kind: str, second: float, **data: Any) -> Event:
    """That a device answers again is told a little before its first reading is whole."""
    return Event(
        gateway=GATEWAY,
        source="bus-reader",
        kind=kind,
        severity="info",
        ts=START + second * SECOND,
        message=f"{kind} at {second}",
        data=data,
    )


def _seconds(gap: Gap) -> tuple[int, int]:
    return int((gap.start - START) / SECOND), int((gap.end - START) / SECOND)


async def test_gaps_are_named_with_their_reason(store: Store, wall: Wall) -> None:
    wall.set(START + 1000 * SECOND)
    silent = [*range(100, 200), *range(300, 400), *range(500, 520), *range(700, 800)]
    await write(store, [reading(n) for n in range(1000) if n not in silent])
    # while the gateway is off (300 to 400) the other one is silent too; the clock hides 700 to 800
    await write(store, [reading(n, "roof") for n in range(1000) if not 300 <= n < 400])
    await write(store, [reading(n, ts=START - DAY + n * SECOND) for n in range(700, 800)])
    await store.note(
        [
            _event("device-online", 0, device="grid", line="native"),
            _event("device-offline", 103, device="grid", line="native"),
            _event("device-online", 199.998, device="grid", line="native"),
            _event("overrun", 490, device="roof", line="native"),
            _event("overrun-ended", 530, line="native"),
        ]
    )
    found = await _gaps(store, hours=1000 / 3600)
    assert [(*_seconds(gap), gap.reason) for gap in found] == [
        (99, 200, "device-dead"),
        (299, 400, "gateway-off"),
        (499, 520, "line-full"),
        (699, 800, "clock-not-set"),
    ]
    assert found[0].detail == "device-offline at 103"


@pytest.mark.parametrize("kind", ["device-removed", "device-disabled"])
async def test_gap_of_a_device_that_nobody_wanted_says_so(store: Store, wall: Wall, kind: str) -> None:
    """Also when nothing else was read meanwhile: the gateway was not off."""
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300) if not 100 <= n < 200])
    await store.note(
        [
            _event("device-online", 0, device="grid", line="native"),
            _event(kind, 100, device="grid", line="native"),
            _event("device-online", 199.998, device="grid", line="native"),
        ]
    )
    (gap,) = await _gaps(store, hours=300 / 3600)
    assert (*_seconds(gap), gap.reason, gap.detail) == (99, 200, "not-configured", f"{kind} at 100")


@pytest.mark.parametrize(("told_at", "reason"), [(114.5, "line-full"), (140, "lost")])
async def test_first_long_round_of_a_full_line_says_so(
    store: Store, wall: Wall, told_at: float, reason: str
) -> None:
    """An overrun is told once it has happened."""
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300) if not 100 <= n < 113])
    await write(store, [reading(n, "roof") for n in range(300)])
    await store.note(
        [
            _event("device-online", 0, device="grid", line="native"),
            _event("overrun", 20, device="roof", line="native"),
            _event("overrun-ended", 40, line="native"),
            _event("overrun", told_at, device="roof", line="native"),
        ]
    )
    (gap,) = await _gaps(store, hours=300 / 3600)
    assert (*_seconds(gap), gap.reason) == (99, 113, reason)


async def test_gap_of_a_line_that_was_closed_and_opened_again_says_so(store: Store, wall: Wall) -> None:
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300) if not 100 <= n < 200])
    await store.note(
        [
            _event("line-open", 0, line="native"),
            _event("device-online", 0, device="grid", line="native"),
            _event("line-closed", 100, line="native"),
            _event("line-open", 199.9, line="native"),
        ]
    )
    (gap,) = await _gaps(store, hours=300 / 3600)
    assert (*_seconds(gap), gap.reason, gap.detail) == (99, 200, "line-closed", "line-closed at 100")


def _start(service: str, second: float) -> Event:
    return _event("service-started", second).model_copy(update={"source": service})


BOOT = [_start(service, 0.5) for service in ("bus-reader", "uplink", "api")]


@pytest.mark.parametrize(
    ("events", "reason", "told"),
    [
        (BOOT, "service-off", "bus-reader was silent"),
        ([*BOOT, _start("bus-reader", 198)], "service-off", "bus-reader was off; it started at 2026"),
        (
            [*BOOT, _start("bus-reader", 190), _event("line-open", 190.5, line="native")],
            "service-off",
            "was off",
        ),
        ([*BOOT, _start("uplink", 120), _start("bus-reader", 198)], "service-off", "bus-reader was off"),
        ([*BOOT, _start("bus-reader", 190), _start("uplink", 203)], "gateway-off", "bus-reader and uplink"),
        ([], "gateway-off", ""),  # written before services told their start
    ],
)
async def test_gap_tells_a_service_that_was_off_from_a_gateway_that_was(
    store: Store, wall: Wall, events: list[Event], reason: str, told: str
) -> None:
    wall.set(START + 300 * SECOND)
    taken = [*range(100), *range(200, 300)]
    for device in ("grid", "roof"):
        for seq, second in enumerate(taken):
            await write(store, [reading(seq, device, ts=START + second * SECOND)])
    await store.note([_event("device-online", 0, device="grid", line="native"), *events])
    (gap,) = await _gaps(store, hours=300 / 3600)
    assert (*_seconds(gap), gap.reason) == (99, 200, reason)
    assert told in gap.detail


async def test_clock_that_was_years_behind_explains_a_gap(store: Store, wall: Wall) -> None:
    """Its stamps are older than what is kept singly."""
    wall.set(START + 200 * SECOND)
    store.keep(Keeping(retention=Retention(raw_days=30)))
    await write(store, [reading(n) for n in range(100)])
    await settle(store, wall)
    await write(store, [reading(100 + n, ts=START - 2000 * DAY + n * SECOND) for n in range(50)])
    await write(store, [reading(n) for n in range(150, 200)])
    await write(store, _balances(n for n in range(200) if not 100 <= n < 150))
    for device in ("grid", "house"):
        (gap,) = await _gaps(store, device, hours=200 / 3600)
        assert (*_seconds(gap), gap.reason) == (99, 150, "clock-not-set")


def _balances(seconds: Iterable[int]) -> list[Balance]:
    flows = dict.fromkeys(("p_prod", "p_grid", "p_load", "p_self", "p_exp", "p_imp"), 1.0)
    return [Balance(gateway=GATEWAY, plant="house", ts=START + n * SECOND, **flows) for n in seconds]


async def test_gap_of_a_plant_whose_devices_died_says_so(store: Store, wall: Wall) -> None:
    """Its last balance, of stale values, came a while after they did."""
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300) if not 100 <= n < 200])
    await write(store, _balances(n for n in range(300) if not 100 <= n < 200 or n == 110))
    await store.note(
        [
            *BOOT,
            _event("device-online", 0, device="grid", line="native"),
            _event("device-offline", 104, device="grid", line="native"),
            _event("device-online", 199.9, device="grid", line="native"),
        ]
    )
    found = await _gaps(store, "house", hours=300 / 3600)
    assert [(*_seconds(gap), gap.reason, gap.detail) for gap in found] == [
        (99, 110, "device-dead", "device-offline at 104"),
        (110, 200, "device-dead", "device-offline at 104"),
    ]


async def test_gap_of_a_plant_ends_with_readings_older_than_the_start_of_solar(
    store: Store, wall: Wall
) -> None:
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300)])
    await write(store, _balances(n for n in range(300) if not 100 <= n < 200))
    await store.note([*BOOT, _start("solar", 0.5), _start("solar", 200.8)])
    (gap,) = await _gaps(store, "house", hours=300 / 3600)
    assert (*_seconds(gap), gap.reason) == (99, 200, "service-off")
    assert "solar was off" in gap.detail


async def test_service_that_started_while_others_were_read_explains_no_gap(store: Store, wall: Wall) -> None:
    wall.set(START + 300 * SECOND)
    await write(store, [reading(n) for n in range(300) if not 100 <= n < 200])
    await write(store, [reading(n, "roof") for n in range(300)])
    await store.note([*BOOT, _start("bus-reader", 150)])
    (gap,) = await _gaps(store, hours=300 / 3600)
    assert gap.reason == "lost"


async def test_device_that_is_read_more_often_now_had_no_gaps_before(store: Store, wall: Wall) -> None:
    slow = [reading(n, ts=START + n * 5 * MINUTE) for n in range(12)]
    fast = [reading(12 + n, ts=START + HOUR + n * SECOND) for n in range(1200) if not 600 <= n < 660]
    await write(store, [*slow, *fast])
    wall.set(START + HOUR + 1200 * SECOND)
    (gap,) = await _gaps(store, hours=2)
    assert _seconds(gap) == (3600 + 599, 3600 + 660)


async def test_readings_that_never_arrived_are_counted(store: Store, wall: Wall) -> None:
    wall.set(START + 60 * SECOND)
    await write(store, [reading(n) for n in range(60) if not 20 <= n < 30])
    await write(store, [reading(n, "roof") for n in range(60)])
    (gap,) = await _gaps(store)
    assert (gap.reason, gap.detail) == ("lost", "10 readings were taken and did not arrive")


async def test_gap_that_still_lasts_ends_now(store: Store, wall: Wall) -> None:
    await write(store, [reading(n) for n in range(60)])
    await write(store, [reading(n, "roof") for n in range(600)])
    await store.note(
        [_event("line-closed", 61, line="native"), _event("device-online", 0, device="grid", line="native")]
    )
    wall.set(START + 600 * SECOND)
    (gap,) = await _gaps(store)
    assert (*_seconds(gap), gap.reason) == (59, 600, "line-closed")


async def test_gaps_are_found_in_the_minutes_when_readings_are_dropped(store: Store, wall: Wall) -> None:
    store.keep(Keeping(retention=Retention(raw_days=1)))
    minutes = [n for n in range(3 * 1440) if not 600 <= n < 660]
    await write(store, [reading(n, ts=START + n * MINUTE) for n in minutes])
    wall.set(START + 3 * DAY)
    await settle(store, wall)
    (gap,) = await _gaps(store, hours=72)
    assert _seconds(gap) == (599 * 60, 660 * 60)
    with store._writer.begin() as connection:
        kept = connection.scalar(text("SELECT count(*) FROM reading"))
    assert kept is not None
    assert 1440 <= kept <= 1440 + 76


async def test_events_are_kept_once(store: Store) -> None:
    event = _event("device-offline", 5, device="grid", line="native")
    await store.note([event, event])
    await store.note([event, _event("button-pressed", 6)])
    with store._writer.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM event")) == 1
