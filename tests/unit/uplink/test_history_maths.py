"""Intervals, pages and rows of the history; expected figures worked out by hand."""

from datetime import UTC, datetime

import pytest

from ccm_contracts.messages import Balance, Reading
from ccm_uplink.history.paging import Point, bucket_ms, instant_of, pages_of
from ccm_uplink.history.rows import UnstorableError, ms_of, rows_of

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
NOON_MS = 1_777_636_800_250  # date -u -d 2026-05-01T12:00:00.250Z +%s%3N


def _reading(values: dict[str, int | float | str | None], seq: int = 7) -> Reading:
    return Reading(gateway="G1", device="grid", ts=NOON, values=values, quality="stale", seq=seq)


def test_milliseconds_are_exact_both_ways() -> None:
    assert ms_of(NOON) == NOON_MS
    assert instant_of(NOON_MS) == NOON


@pytest.mark.parametrize(
    ("length", "points", "width"), [(3_600_000, 60, 60_000), (1001, 500, 3), (10, 500, 1)]
)
def test_bucket_width_covers_the_range_with_at_most_that_many(length: int, points: int, width: int) -> None:
    assert bucket_ms(1000, 1000 + length, points) == width
    assert -(-length // width) <= points


def _points(*stamps: int) -> list[Point]:
    return [(stamp, 1.0, 1.0, 1.0) for stamp in stamps]


def test_everything_that_fits_is_one_page() -> None:
    assert pages_of([_points(1, 2), _points(1)], 2) == ([_points(1, 2), _points(1)], None)


def test_all_series_of_a_page_end_at_the_same_moment() -> None:
    pages, following = pages_of([_points(1, 2, 3), _points(1, 2, 9), _points(1, 3)], 2)
    assert following == 3
    assert pages == [_points(1, 2), _points(1, 2), _points(1)]


def test_rows_of_a_reading_leave_nulls_out_and_part_texts_from_numbers() -> None:
    rows = rows_of(_reading({"v1": 230.5, "e_imp": 12, "p": None, "status": "ok"}))
    assert (rows.device, rows.is_plant, rows.ts_ms, rows.seq, rows.quality) == ("grid", False, NOON_MS, 7, 1)
    assert dict(zip(rows.metrics, rows.numbers, strict=True)) == {"v1": 230.5, "e_imp": 12.0}
    assert rows.texts == {"status": "ok"}


def test_rows_of_a_balance_are_its_known_powers_and_ratios() -> None:
    balance = Balance(
        gateway="G1", plant="house", ts=NOON, p_prod=10, p_grid=-4, p_load=6, p_self=6, p_exp=4, p_imp=0
    )
    rows = rows_of(balance)
    assert (rows.device, rows.is_plant, rows.seq, rows.texts) == ("house", True, 0, {})
    numbers = dict(zip(rows.metrics, rows.numbers, strict=True))
    assert numbers == {"p_prod": 10, "p_grid": -4, "p_load": 6, "p_self": 6, "p_exp": 4, "p_imp": 0}


@pytest.mark.parametrize(
    "reading",
    [
        _reading({"p": 10**400}),
        _reading({"m" * 65: 1}),
        _reading({"status": "a\x00b"}),
        _reading({"p": 1}, seq=2**63),
    ],
    ids=["number", "name", "nul", "seq"],
)
def test_what_no_database_can_hold_is_refused(reading: Reading) -> None:
    with pytest.raises(UnstorableError):
        rows_of(reading)
