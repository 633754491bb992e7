"""A day's bytes and their budget; the day is the site's."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ccm_uplink.meter import OVERHEAD_BYTES, Meter

MADRID = ZoneInfo("Europe/Madrid")
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def test_day_turns_at_the_sites_midnight() -> None:
    """Madrid is UTC+2 in May: its midnight is 22:00 UTC."""
    meter = Meter(MADRID)
    meter.sent(1000, datetime(2026, 5, 1, 21, 59, tzinfo=UTC), is_live=True)
    assert (meter.day, meter.bytes_today) == (date(2026, 5, 1), 1000 + OVERHEAD_BYTES)
    meter.sent(500, datetime(2026, 5, 1, 22, 0, tzinfo=UTC), is_live=True)
    assert (meter.day, meter.bytes_today) == (date(2026, 5, 2), 500 + OVERHEAD_BYTES)


def test_without_a_budget_nothing_is_held_back() -> None:
    meter = Meter()
    meter.sent(10**9, NOON, is_live=True)
    assert meter.left(NOON) is None
    assert not meter.is_exhausted(NOON)
    assert meter.may_send_backlog(NOON)


def test_backlog_leaves_what_live_needs_until_midnight() -> None:
    """Live: 1000 bytes a minute, noon to midnight 720 kB."""
    meter = Meter(UTC, budget_bytes=1_000_000)
    for minute in range(11):
        meter.sent(1000 - OVERHEAD_BYTES, NOON + timedelta(minutes=minute), is_live=True)
    now = NOON + timedelta(minutes=10)
    assert meter.may_send_backlog(now)
    meter.sent(250_000, now, is_live=False)
    assert not meter.may_send_backlog(now)
    assert not meter.is_exhausted(now)


def test_live_needs_what_it_takes_of_the_wire_and_not_what_it_holds() -> None:
    """Packed to a tenth: 1000 bytes a minute are 100 on the wire, noon to midnight 72 kB of the 99 kB that are left."""
    meter = Meter(UTC, budget_bytes=100_000)
    for minute in range(11):
        meter.handed(1000, NOON + timedelta(minutes=minute), is_live=True)
        meter.passed(100, NOON + timedelta(minutes=minute))
    now = NOON + timedelta(minutes=10)
    assert meter.may_send_backlog(now)
    assert meter.left(now) == 100_000 - 1100
    meter.passed(90_000, now)
    meter.handed(900_000, now, is_live=False)
    assert not meter.may_send_backlog(now)


def test_used_up_budget_is_there_again_the_next_day() -> None:
    meter = Meter(UTC, budget_bytes=10_000)
    meter.sent(10_000, NOON, is_live=True)
    assert meter.is_exhausted(NOON)
    assert meter.left(NOON + timedelta(hours=12)) == 10_000


def test_restart_does_not_renew_the_budget() -> None:
    meter = Meter(UTC, budget_bytes=10_000)
    meter.restore(NOON.date(), 10_500)
    assert meter.is_exhausted(NOON)
    meter.restore(NOON.date() - timedelta(days=1), 10_500)
    assert not meter.is_exhausted(NOON)


def test_day_of_23_hours_ends_at_its_midnight() -> None:
    """Madrid, 29 March 2026: the clock goes from 02:00 to 03:00, midnight is 22:00 UTC."""
    meter = Meter(MADRID, budget_bytes=100_000)
    start = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
    for minute in range(61):
        meter.sent(100 - OVERHEAD_BYTES, start + timedelta(minutes=minute), is_live=True)
    # 61 times 100 bytes in an hour; nine more hours to 22:00 UTC need 54,900 bytes
    now = start + timedelta(hours=1)
    assert meter.may_send_backlog(now)
    meter.sent(100_000 - 6_100 - 54_000 - OVERHEAD_BYTES, now, is_live=False)
    assert not meter.may_send_backlog(now)
