"""Hours until a stream drops what is owed."""

from datetime import UTC, datetime

import pytest

from ccm_kit.nats_facts import StreamFacts
from ccm_uplink.outlook import Forecast, Outlook

DAY_S = 86_400.0


def _facts(last_seq: int, *, messages: int = 10_000, max_bytes: int = 100_000_000) -> StreamFacts:
    """500 bytes a message, 30 days."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return StreamFacts(1, last_seq, messages, 500 * messages, at, max_bytes, 30 * DAY_S)


def test_nothing_waits_nothing_is_lost() -> None:
    assert Forecast().outlook(_facts(10_000), 0, None) == Outlook(None, 0.0)


def test_age_limits_a_slow_stream() -> None:
    outlook = Forecast().outlook(_facts(10_000), 100, 10 * DAY_S)
    assert outlook.hours_left == pytest.approx(20 * 24)
    assert outlook.filled == pytest.approx(1 / 3)


def test_size_limits_a_fast_stream() -> None:
    """10 messages of 500 bytes a second; 100 MB hold 200,000; half of them wait: 100,000 more are 10,000 s."""
    forecast = Forecast()
    for number in range(13):
        forecast.sample(_facts(100_000 + 50 * number), 5.0 * number)
    outlook = forecast.outlook(_facts(100_600), 100_000, 3600.0)
    assert outlook.hours_left == pytest.approx(10_000 / 3600)
    assert outlook.filled == pytest.approx(0.5)


def test_stream_that_was_made_anew_gives_no_negative_rate() -> None:
    forecast = Forecast()
    forecast.sample(_facts(100_000), 0.0)
    forecast.sample(_facts(10), 5.0)
    hours_left = forecast.outlook(_facts(10), 10, 0.0).hours_left
    assert hours_left == pytest.approx(30 * 24)


def test_warned_once_until_there_was_room_again() -> None:
    forecast = Forecast()
    shares = [0.5, 0.79, 0.81, 0.95, 0.75, 0.9, 0.6, 0.85]
    warned = [forecast.is_to_be_warned(Outlook(1.0, share)) for share in shares]
    assert warned == [False, False, True, False, False, False, False, True]
