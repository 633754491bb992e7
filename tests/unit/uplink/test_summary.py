"""Summaries of periods and steps of counters; figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccm_uplink.history.summary import Summary, folded, merged, step


def _single(ts: int, value: float) -> Summary:
    return Summary(1, ts, 1, value, value, value, value, value, 0.0)


def _all(rows: list[Summary], width: int, *, is_counter: bool = True) -> list[Summary]:
    return list(folded(rows, lambda ts: ts - ts % width, {1} if is_counter else set()))


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        (100.0, 105.5, 5.5),
        (100.0, 100.0, 0.0),
        (100.02, 100.01, 0.0),  # noise of a float, or a bit error that was repaired
        (99_998.0, 3.0, 5.0),  # five digits that rolled over
        (999_999.5, 0.25, 0.75),  # six digits
        (20_000.0, 0.4, 0.4),  # the meter began anew
        (20_000.0, 15_000.0, 0.0),  # another meter
        (1.0, -5.0, 0.0),
    ],
)
def test_step_of_a_counter_is_never_negative(before: float, after: float, counted: float) -> None:
    assert step(before, after) == pytest.approx(counted)


def test_gauge_keeps_mean_lowest_highest_and_last() -> None:
    (row,) = _all([_single(0, 1.0), _single(1, 9.0), _single(2, 2.0)], 10, is_counter=False)
    assert row == Summary(1, 0, 3, 4.0, 1.0, 9.0, None, 2.0, None)


def test_counter_keeps_first_last_and_gain_over_a_restart() -> None:
    (row,) = _all([_single(0, 100.0), _single(1, 103.0), _single(2, 1.0), _single(3, 2.0)], 10)
    assert (row.first, row.last, row.gain) == (100.0, 2.0, 5.0)  # 3, then 1 and 1 from 0 on


values = st.lists(st.integers(0, 1000), min_size=1, max_size=60)


@given(values)
def test_days_of_hours_are_days_of_readings(numbers: list[int]) -> None:
    rows = [_single(ts, float(value)) for ts, value in enumerate(numbers)]
    (direct,) = _all(rows, 1000)
    (twice,) = _all(_all(_all(rows, 5), 20), 1000)
    assert twice.mean == pytest.approx(direct.mean)
    assert twice.gain == pytest.approx(direct.gain)
    assert (twice.n, *twice[4:8]) == (direct.n, *direct[4:8])


def test_late_value_between_dropped_ones_keeps_the_gain_of_a_counter() -> None:
    kept = Summary(1, 0, 2, 105.0, 100.0, 110.0, 100.0, 110.0, 10.0)
    late = Summary(1, 0, 1, 104.0, 104.0, 104.0, 104.0, 104.0, 0.0)
    row = merged(kept, late)
    assert (row.n, row.first, row.last, row.gain) == (3, 100.0, 110.0, 10.0)
    assert row.mean == pytest.approx(314 / 3)
    assert merged(kept, late._replace(low=112.0, high=112.0, first=112.0, last=112.0)).gain == 12.0
