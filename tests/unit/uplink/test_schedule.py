"""When files are made, on ordinary days and on those of 23 and 25 hours.

In Madrid clocks went from 02:00 to 03:00 on 2026-03-29 and from 03:00 to 02:00 on 2026-10-25, both at 01:00 UTC
(directive 2000/84/EC).
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ccm_uplink.schedule import Schedule

MADRID = ZoneInfo("Europe/Madrid")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every_s", "at", "after", "due"),
    [
        (900, None, "2026-11-24T22:14:59.999", "2026-11-24T22:15"),
        (900, None, "2026-11-24T22:15", "2026-11-24T22:30"),
        (900, "00:05", "2026-11-24T22:15", "2026-11-24T22:20"),
        (86_400, "00:05", "2026-11-24T22:15", "2026-11-24T23:05"),
        (86_400, "00:05", "2026-07-01T12:00", "2026-07-01T22:05"),
        (
            50_000,
            None,
            "2026-11-24T13:00",
            "2026-11-24T23:00",
        ),  # midnight comes before the second 50,000 s end
        (86_400, "02:30", "2026-03-28T12:00", "2026-03-29T01:30"),  # 02:30 does not exist
        (86_400, "02:30", "2026-03-29T12:00", "2026-03-30T00:30"),
        (86_400, "02:30", "2026-10-24T12:00", "2026-10-25T00:30"),  # 02:30 comes twice: the first
        (86_400, "02:30", "2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_next_file_is_due(every_s: int, at: str | None, after: str, due: str) -> None:
    schedule = Schedule(every_s, at, MADRID)
    assert schedule.next_after(utc(after)) == utc(due)
    assert schedule.latest(utc(due)) == utc(due)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-24", 24)])
def test_hourly_files_of_a_local_day(day: str, hours: int) -> None:
    schedule = Schedule(3600, None, MADRID)
    moment = schedule.latest(datetime.fromisoformat(day).replace(tzinfo=MADRID).astimezone(UTC))
    made = 0
    while moment.astimezone(MADRID).date().isoformat() == day:
        moment = schedule.next_after(moment)
        made += 1
    assert made == hours
