"""Messages that wait for others, to travel in one."""

from ccm_uplink.gathering import Gathering


def test_oldest_waits_no_longer_than_it_may() -> None:
    held = Gathering[int]()
    assert held.add([1], 100.0, wait_s=5, most=50) == []
    assert held.add([2], 104.9, wait_s=5, most=50) == []
    assert held.add([3], 105.0, wait_s=5, most=50) == [1, 2, 3]
    assert held.add([4], 105.1, wait_s=5, most=50) == []


def test_whole_lots_do_not_wait() -> None:
    held = Gathering[int]()
    assert held.add(range(7), 0.0, wait_s=5, most=3) == [0, 1, 2, 3, 4, 5]
    assert held.add([], 4.9, wait_s=5, most=3) == []
    assert held.add([], 5.0, wait_s=5, most=3) == [6]


def test_without_a_wait_all_goes_at_once() -> None:
    held = Gathering[int]()
    assert held.add([1, 2], 0.0, wait_s=5, most=50) == []
    assert held.add([3], 1.0, wait_s=0, most=50) == [1, 2, 3]
