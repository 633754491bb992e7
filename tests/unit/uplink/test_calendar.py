"""Periods of local clocks; the instants are those of `date -u` and of the tz database's own change tables."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ccm_uplink.history.calendar import HOUR_MS, Calendar, Unit


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _text(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"


@pytest.mark.parametrize(
    ("zone", "at", "unit", "start", "end"),
    [
        ("UTC", "2026-05-01T12:34:56Z", "minute", "2026-05-01T12:34Z", "2026-05-01T12:35Z"),
        ("Asia/Kathmandu", "2026-05-01T12:34:56Z", "15min", "2026-05-01T12:30Z", "2026-05-01T12:45Z"),
        # UTC+05:30: the local hour begins at half past
        ("Asia/Kolkata", "2026-05-01T12:34:00Z", "hour", "2026-05-01T12:30Z", "2026-05-01T13:30Z"),
        # UTC+05:45
        ("Asia/Kathmandu", "2026-05-01T12:10:00Z", "hour", "2026-05-01T11:15Z", "2026-05-01T12:15Z"),
        # Madrid: forward on 2026-03-29 at 01:00Z, back on 2026-10-25 at 01:00Z
        ("Europe/Madrid", "2026-03-29T12:00:00Z", "day", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("Europe/Madrid", "2026-10-25T12:00:00Z", "day", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("Europe/Madrid", "2026-10-25T00:30:00Z", "hour", "2026-10-25T00:00Z", "2026-10-25T01:00Z"),
        ("Europe/Madrid", "2026-10-25T01:30:00Z", "hour", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        ("Europe/Madrid", "2026-10-25T12:00:00Z", "month", "2026-09-30T22:00Z", "2026-10-31T23:00Z"),
        ("Europe/Madrid", "2026-10-25T12:00:00Z", "year", "2025-12-31T23:00Z", "2026-12-31T23:00Z"),
        # Beirut puts its clock forward at midnight: 2026-03-29 begins at 01:00 local, 28 March 22:00Z
        ("Asia/Beirut", "2026-03-29T10:00:00Z", "day", "2026-03-28T22:00Z", "2026-03-29T21:00Z"),
        # Lord Howe: back by 30 minutes at 2026-04-04T15:00Z (02:00+11 to 01:30+10:30)
        ("Australia/Lord_Howe", "2026-04-04T14:59:00Z", "hour", "2026-04-04T14:00Z", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:10:00Z", "hour", "2026-04-04T15:00Z", "2026-04-04T15:30Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:40:00Z", "hour", "2026-04-04T15:30Z", "2026-04-04T16:30Z"),
    ],
)
def test_period_of_the_local_clock(zone: str, at: str, unit: Unit, start: str, end: str) -> None:
    first, last = Calendar(zone).period(_ms(at), unit)
    assert (_text(first), _text(last)) == (start, end)


@pytest.mark.parametrize(
    "zone", ["Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
)
@pytest.mark.parametrize("unit", ["hour", "day"])
def test_periods_of_a_year_follow_each_other_without_gap(zone: str, unit: Unit) -> None:
    start, end = _ms("2018-01-01T00:00:00Z"), _ms("2019-01-01T00:00:00Z")
    edges = Calendar(zone).edges(start, end, unit, 20_000)
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    assert edges[-1][1] >= end


def test_days_of_a_year_have_23_24_and_25_hours() -> None:
    edges = Calendar("Europe/Madrid").edges(_ms("2025-12-31T23:00Z"), _ms("2026-12-31T23:00Z"), "day", 400)
    hours = [(end - start) / HOUR_MS for start, end in edges]
    assert (len(hours), hours.count(23), hours.count(25)) == (365, 1, 1)
