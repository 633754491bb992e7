"""An hour of the day of a bad line, and of bad hosts; `tests/bench/day.py` is all of it."""

from tests.support.day.network import HOSTS
from tests.support.day.run import a_day

HOURS = 1.0


def test_an_hour_of_faults_publishes_nothing_wrong_and_leaves_no_device_unread() -> None:
    day = a_day(HOURS, seed=1)
    assert day.violations == []
    assert sum(day.mishaps.values()) > 50
    assert day.spoiled["late"] > 200
    assert day.spoiled["corrupt"] > 200
    assert day.readings > 7000


def test_an_hour_of_faults_of_hosts_publishes_nothing_wrong_and_leaves_no_device_unread() -> None:
    day = a_day(HOURS, seed=1, scenery="network")
    assert day.violations == []
    assert sum(day.mishaps.values()) > 50
    assert day.openings > 2 * len(HOSTS)
    assert day.spoiled["late"] > 100
    assert day.readings > 7000
