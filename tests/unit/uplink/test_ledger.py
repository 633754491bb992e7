"""The ledger of one link: numbers in, what is settled and what is missing out."""

from datetime import UTC, datetime

import pytest

from ccm_contracts.state import DeviceDelivery, LinkLedger
from ccm_uplink.ledger import MOST_DEVICES, MOST_MISSING, Ledger

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def _sees(ledger: Ledger, segment: str, numbers: range, *, at: int, first_kept: int = 1) -> None:
    """Each number is one message of the stream, from `at` on, and is delivered."""
    for offset, seq in enumerate(numbers):
        ledger.saw(segment, "grid", seq, at + offset, NOW, first_kept)
        ledger.settled(segment, "grid", seq)
        ledger.was_delivered(segment, "grid", [(seq, NOW)])


def _ranges(ledger: Ledger) -> list[tuple[int, int, str]]:
    return [(each.first_seq, each.last_seq, each.reason) for each in ledger.missing]


def _grid(ledger: Ledger, oldest: str, **in_hand: int) -> DeviceDelivery:
    (grid,) = ledger.devices(oldest, in_hand)
    return grid


def test_in_order_all_is_settled_and_nothing_missing() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    grid = _grid(ledger, "mqtt")
    assert (grid.last_seq, grid.complete_to, grid.delivered) == (9, 9, 10)
    assert ledger.missing == []


def test_numbers_that_follow_each_other_are_noted_together() -> None:
    ledger = Ledger()
    assert not ledger.follow("mqtt", "grid", [0], [1]), "the first one has no before"
    _sees(ledger, "mqtt", range(1), at=1)
    assert ledger.follow("mqtt", "grid", [1, 2, 3], [2, 5, 9])
    assert not ledger.is_gap("mqtt", "grid", 4)
    assert ledger.is_gap("mqtt", "grid", 5)


def test_a_gap_or_a_message_that_comes_again_does_not_follow() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    for seqs, ats in (([11], [11]), ([10, 12], [11, 12]), ([9, 10], [10, 11]), ([10, 11], [12, 11])):
        assert not ledger.follow("mqtt", "grid", seqs, ats)
    assert not ledger.is_gap("mqtt", "grid", 10), "nothing of it was noted"
    assert ledger.follow("mqtt", "grid", [10, 11], [11, 12])


def test_what_is_in_hand_is_not_settled() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    assert _grid(ledger, "mqtt", grid=7).complete_to == 6


def test_what_the_stream_dropped_is_named() -> None:
    """The stream kept 1000 messages on; the link stood at 10."""
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt", range(999, 1002), at=1000, first_kept=1000)
    ledger.is_acknowledged_to("mqtt", 1002)
    assert _ranges(ledger) == [(10, 998, "expired")]
    assert ledger.dropped == 989
    assert ledger.news == ledger.missing


def test_what_never_came_to_the_stream_is_named_as_that() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt", range(15, 18), at=11)
    ledger.is_acknowledged_to("mqtt", 13)
    assert _ranges(ledger) == [(10, 14, "never-stored")]
    assert ledger.dropped == 0


def test_what_cannot_be_parsed_is_named_as_refused_and_not_as_never_stored() -> None:
    """A batch's messages are parsed before the first of them is noted."""
    ledger = Ledger()
    ledger.was_unfit("mqtt", 11, {"device": "grid"})
    ledger.was_unfit("mqtt", 12, {"device": "roof"})
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt", range(11, 14), at=13)
    _sees(ledger, "mqtt", range(15, 16), at=16)
    ledger.is_acknowledged_to("mqtt", 16)
    assert _ranges(ledger) == [(10, 10, "refused"), (14, 14, "never-stored")]
    assert (ledger.refused, ledger.dropped) == (2, 0)


def test_message_that_is_handed_out_again_is_no_gap() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt", range(4, 12), at=5)
    assert ledger.missing == []


def test_device_that_was_numbered_anew_is_no_gap() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(100, 110), at=1)
    _sees(ledger, "mqtt", range(5), at=11)
    assert ledger.missing == []


def test_live_beside_a_backlog_is_complete_to_the_backlog_only() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt-s51", range(50, 55), at=51)
    grid = _grid(ledger, "mqtt")
    assert (grid.last_seq, grid.complete_to) == (54, 9)
    _sees(ledger, "mqtt", range(10, 50), at=11)
    ledger.ends("mqtt", "mqtt-s51", NOW, 1)
    grid = _grid(ledger, "mqtt-s51")
    assert (grid.last_seq, grid.complete_to) == (54, 54)
    assert ledger.missing == []


def test_end_of_a_backlog_that_the_stream_dropped_is_named() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(10), at=1)
    _sees(ledger, "mqtt-s51", range(50, 55), at=51)
    _sees(ledger, "mqtt", range(10, 20), at=11)
    ledger.ends("mqtt", "mqtt-s51", NOW, 51)
    assert _ranges(ledger) == [(20, 49, "expired")]


def test_ledger_goes_on_after_a_restart() -> None:
    before = Ledger()
    _sees(before, "mqtt", range(10), at=1)
    stored = LinkLedger(link="mqtt", ts=NOW, devices=before.devices("mqtt", {}), thinned=3)
    ledger = Ledger()
    ledger.restore(LinkLedger.model_validate_json(stored.model_dump_json()))
    ledger.begins("mqtt", [("grid", 12, 13)])  # three more were acknowledged after the ledger was written
    ledger.is_known_to_have("grid", 12, NOW)
    grid = _grid(ledger, "mqtt")
    assert (grid.last_seq, grid.complete_to, grid.delivered, ledger.thinned) == (12, 12, 13, 3)
    _sees(ledger, "mqtt", range(13, 15), at=14)
    assert ledger.missing == []


def test_what_is_handed_out_again_after_newer_ones_is_not_missing() -> None:
    """Done with up to 9 (at 10). 10 to 12 were lost by a killed process or connection: 13 and 14 come first."""
    ledger = Ledger()
    ledger.begins("mqtt", [("grid", 9, 10)])
    _sees(ledger, "mqtt", range(13, 15), at=14)
    assert ledger.missing == []
    assert _grid(ledger, "mqtt").complete_to == 9
    assert _grid(ledger, "mqtt", grid=14).complete_to == 9
    _sees(ledger, "mqtt", range(11, 12), at=12)
    ledger.is_acknowledged_to("mqtt", 10)
    assert _grid(ledger, "mqtt").complete_to == 9
    _sees(ledger, "mqtt", range(10, 11), at=11)
    assert _grid(ledger, "mqtt").complete_to == 11
    ledger.is_acknowledged_to("mqtt", 15)
    assert _ranges(ledger) == [(12, 12, "never-stored")], "it was not on the stream"
    assert _grid(ledger, "mqtt").complete_to == 14
    assert not ledger.has_suspects("mqtt")


def test_what_a_killed_process_had_acknowledged_out_of_order_is_not_missing() -> None:
    """All up to 9 (at 10) was acknowledged; 11 to 14 too, by a process that was killed with 10 in hand."""
    ledger = Ledger()
    ledger.begins("mqtt", [("grid", 9, 10)], [("grid", 14, 15)], until=15)
    ledger.is_known_to_have("grid", 9, NOW)
    _sees(ledger, "mqtt", range(15, 17), at=16)
    ledger.is_acknowledged_to("mqtt", 10)
    assert _grid(ledger, "mqtt").complete_to == 9
    _sees(ledger, "mqtt", range(10, 11), at=11)
    ledger.is_acknowledged_to("mqtt", 17)
    assert _grid(ledger, "mqtt").complete_to == 16
    assert ledger.missing == []
    assert not ledger.has_suspects("mqtt")


def test_bounds_hold() -> None:
    ledger = Ledger()
    for number in range(3 * MOST_DEVICES):
        ledger.was_delivered("mqtt", f"d{number}", [(1, NOW)])
    for number in range(0, 4 * MOST_MISSING, 2):
        ledger.saw("mqtt", "grid", number, number + 1, NOW, 1)
    ledger.is_acknowledged_to("mqtt", 4 * MOST_MISSING)
    assert len(ledger.devices("mqtt", {})) == MOST_DEVICES
    assert len(ledger.missing) == len(ledger.news) == MOST_MISSING


def test_what_another_replica_took_is_not_missing_and_what_nobody_stored_is() -> None:
    ledger = Ledger()
    _sees(ledger, "mqtt", range(3), at=1)
    _sees(ledger, "mqtt", range(9, 10), at=10)  # 3 to 8 were passed over
    ((at, gap),) = ledger.due("mqtt", 10)
    assert (at, gap.first_seq, gap.last_seq) == (10, 3, 8)
    ledger.were_stored("mqtt", gap, 6)
    ledger.is_acknowledged_to("mqtt", 10)
    assert _ranges(ledger) == [(7, 8, "never-stored")]


def _restored(last: int, delivered: int, complete_to: int, complete_delivered: int) -> Ledger:
    ledger = Ledger()
    grid = DeviceDelivery(
        device="grid",
        last_seq=last,
        last_ts=NOW,
        delivered=delivered,
        complete_to=complete_to,
        complete_delivered=complete_delivered,
    )
    ledger.restore(LinkLedger(link="mqtt", ts=NOW, devices=[grid]))
    return ledger


@pytest.mark.parametrize("acknowledged", [120, 80])
def test_count_of_the_process_before_is_put_right_by_what_was_acknowledged(acknowledged: int) -> None:
    """It wrote its book after number 99; then it delivered more, or had delivered what was not acknowledged yet."""
    ledger = _restored(99, 100, 99, 100)
    ledger.begins("mqtt", [("grid", acknowledged, acknowledged + 1)])
    ledger.is_known_to_have("grid", acknowledged, NOW)
    assert _grid(ledger, "mqtt").delivered == max(acknowledged, 99) + 1


def test_count_is_right_after_kills_in_a_row_that_left_holes_in_what_was_acknowledged() -> None:
    """Each process had acknowledged out of order; the book was written while it was not known what comes again."""
    ledger = _restored(
        50, 40, 20, 21
    )  # 0 to 20 and 19 others; up to 29 is acknowledged, 30 to 59 was handed out
    ledger.begins("mqtt", [("grid", 29, 30)], [("grid", 59, 60)], until=60)
    _sees(ledger, "mqtt", range(60, 65), at=61)
    _sees(ledger, "mqtt", range(30, 33), at=31)  # these come again, then it is killed
    book = _grid(ledger, "mqtt")
    assert (book.complete_to, book.complete_delivered) == (29, 30)

    ledger = _restored(book.last_seq, book.delivered, 29, 30)
    ledger.begins("mqtt", [("grid", 32, 33)], [("grid", 64, 65)], until=65)
    _sees(ledger, "mqtt", range(40, 42), at=41)  # only these come again: all others were acknowledged
    _sees(ledger, "mqtt", range(65, 70), at=66)
    ledger.is_acknowledged_to("mqtt", 70)
    book = _grid(ledger, "mqtt")
    assert (book.delivered, book.complete_to, book.complete_delivered) == (70, 69, 70)


def test_what_comes_again_to_a_restarted_process_is_not_counted_twice() -> None:
    """Delivered and not yet acknowledged: the broker may forget it for 5 s."""
    ledger = _restored(99, 100, 99, 100)
    ledger.begins("mqtt", [], [("grid", 99, 100)], until=100)
    _sees(ledger, "mqtt", range(100, 110), at=101)
    _sees(ledger, "mqtt", range(100), at=1)
    ledger.is_acknowledged_to("mqtt", 110)
    assert _grid(ledger, "mqtt").delivered == 110


def test_count_after_a_kill_has_what_was_sent_beside_a_backlog() -> None:
    """The backlog, up to 99, is done to 29; what is new since 100 to 119."""
    ledger = _restored(110, 41, 19, 20)
    ledger.begins("mqtt", [("grid", 29, 30)])
    ledger.begins("mqtt-s101", [("grid", 119, 120)], before={"grid": 99})
    assert _grid(ledger, "mqtt").delivered == 50


def test_count_leaves_out_what_is_missing() -> None:
    """11 never came to the stream, whatever else was delivered."""
    ledger = Ledger()
    _sees(ledger, "mqtt", range(11), at=1)
    _grid(ledger, "mqtt")
    _sees(ledger, "mqtt", range(12, 15), at=12)
    ledger.is_acknowledged_to("mqtt", 14)
    book = _grid(ledger, "mqtt")
    assert (book.delivered, book.complete_to, book.complete_delivered) == (14, 14, 14)
