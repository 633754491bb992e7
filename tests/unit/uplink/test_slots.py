"""The newest reading of each device per clock-aligned slot."""

from ccm_uplink.slots import GRACE_MS, QUIET_MS, Slots


def test_latency_zero_releases_every_message_in_order() -> None:
    slots: Slots[str] = Slots(0)
    assert [slots.offer("d", 5, text, 5).released for text in "abc"] == [("a",), ("b",), ("c",)]


def test_newest_of_a_slot_is_released_when_the_next_slot_begins() -> None:
    slots: Slots[str] = Slots(10)
    assert slots.offer("d", 20_000, "first", 20_000).released == ()
    assert slots.offer("d", 29_999, "newest", 29_999).superseded == ("first",)
    assert slots.offer("d", 30_000, "next", 30_000).released == ("newest",)


def test_slot_is_released_after_its_end_and_not_before() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 25_000, "a", 25_000)
    assert slots.due(30_000 + GRACE_MS - 1) == ()
    assert slots.due(30_000 + GRACE_MS) == ("a",)
    assert slots.due(90_000) == ()


def test_late_message_of_a_released_slot_is_superseded() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 25_000, "a", 25_000)
    slots.due(40_000)
    assert slots.offer("d", 26_000, "late", 26_000).superseded == ("late",)


def test_older_message_of_the_open_slot_does_not_replace_the_newer() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 25_000, "newer", 25_000)
    assert slots.offer("d", 21_000, "older", 21_000).superseded == ("older",)
    assert slots.flush() == ("newer",)


def test_backlog_gives_one_message_per_slot_oldest_first() -> None:
    slots: Slots[int] = Slots(60)
    released: list[int] = []
    for second in range(300):
        released += slots.offer("d", second * 1000, second, second * 1000).released
    released += slots.due(301_000)
    assert released == [59, 119, 179, 239, 299]


def test_devices_do_not_share_slots_and_come_out_oldest_first() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("late", 29_000, "b", 29_000)
    slots.offer("early", 21_000, "a", 21_000)
    assert slots.due(60_000) == ("a", "b")


def test_clock_set_back_loses_nothing() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 1_000_000, "wrong clock", 1_000_000)
    assert slots.offer("d", 500_000, "right clock", 500_000).released == ("wrong clock",)
    assert slots.due(2_000_000) == ("right clock",)


def test_slot_that_ended_long_ago_waits_until_its_messages_stop_coming() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 1_000, "first", 500_000)
    assert slots.due(500_000 + QUIET_MS - 1) == ()
    slots.offer("d", 2_000, "second", 500_000 + QUIET_MS - 1)
    assert slots.due(500_000 + QUIET_MS) == ()
    assert slots.due(500_000 + 2 * QUIET_MS) == ("second",)


def test_late_message_of_an_earlier_slot_leaves_the_open_one_alone() -> None:
    """As the bus hands out again, after 8 s, what a killed uplink had in hand."""
    slots: Slots[str] = Slots(10)
    slots.offer("d", 31_000, "open", 31_000)
    assert slots.offer("d", 24_000, "late", 32_000).released == ()
    assert slots.offer("d", 23_000, "older", 32_100).superseded == ("older",)
    assert slots.offer("d", 25_000, "latest", 32_200).superseded == ("late",)
    assert slots.due(32_200 + QUIET_MS) == ("latest",)
    assert slots.offer("d", 39_000, "newest", 39_000).superseded == ("open",)
    assert slots.due(41_000) == ("newest",)


def test_second_late_slot_releases_the_first() -> None:
    slots: Slots[str] = Slots(10)
    slots.offer("d", 51_000, "open", 51_000)
    slots.offer("d", 24_000, "a", 52_000)
    assert slots.offer("d", 34_000, "b", 52_000).released == ("a",)
    assert slots.flush() == ("b", "open")
