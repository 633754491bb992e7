"""Portions and rates of a backlog; times are given, no clock."""

import pytest

from ccm_uplink.flow import LARGEST_BYTES, LONG_S, SMALLEST_BYTES, Portion, Rate


def _settled(bytes_per_s: float, round_trip_s: float) -> float:
    """Seconds that a portion takes once it has found its size on a link."""
    portion, took_s = Portion(), 0.0
    for _ in range(50):
        size = portion.size_bytes
        took_s = round_trip_s + size / bytes_per_s
        portion.took(size, took_s)
    return took_s


@pytest.mark.parametrize("kbps", [10, 20, 64, 500])
def test_portion_on_a_slow_link_is_confirmed_within_seconds(kbps: int) -> None:
    assert _settled(kbps * 125, 0.5) <= LONG_S


def test_portion_on_a_long_link_fills_it() -> None:
    """1 Mbit/s and 600 ms: a portion takes longer than the round trip, so that the link is mostly in use."""
    assert _settled(125_000, 0.6) >= 1.0


def test_portion_on_a_fast_link_is_as_large_as_it_may() -> None:
    portion = Portion()
    for _ in range(20):
        portion.took(portion.size_bytes, 0.01)
    assert portion.size_bytes == LARGEST_BYTES


def test_portion_does_not_grow_by_what_it_did_not_use() -> None:
    portion = Portion()
    portion.took(100, 0.01)
    assert portion.size_bytes == SMALLEST_BYTES


def test_rate_of_20_kbit_lets_2500_bytes_pass_a_second() -> None:
    rate, now_s, sent = Rate(20), 0.0, 0
    while now_s < 100.0:
        rate.charge(1000, now_s)
        sent += 1000
        now_s += rate.wait_s(now_s)
    assert 249_000 <= sent <= 251_000


def test_live_messages_are_charged_and_never_wait() -> None:
    rate = Rate(8)
    for second in range(10):
        rate.charge(1000, float(second))  # live alone uses all of it
    assert rate.wait_s(9.0) == pytest.approx(1.0)


def test_without_a_limit_nothing_waits() -> None:
    rate = Rate()
    rate.charge(10**9, 0.0)
    assert rate.wait_s(0.0) == 0.0
    assert rate.most_bytes() == LARGEST_BYTES
