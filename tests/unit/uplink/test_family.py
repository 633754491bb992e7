"""What a family of lanes remembers of its finished messages."""

from ccm_uplink.family import REMEMBERED, Finished


def test_the_newest_finished_messages_are_known_again_and_older_ones_forgotten() -> None:
    finished = Finished()
    for seq in range(4 * REMEMBERED):
        finished.add([(seq, 0)])
        assert (max(0, seq - REMEMBERED + 1), 0) in finished
    assert (2 * REMEMBERED - 1, 0) not in finished
    assert finished.has_none_of([(5, 0), (6, 0)])
    assert not finished.has_none_of([(5, 0), (4 * REMEMBERED - 1, 0)])


def test_a_stream_that_was_made_anew_has_other_messages_under_the_same_numbers() -> None:
    finished = Finished()
    finished.add([(1, 17)])
    assert (1, 17) in finished
    assert (1, 18) not in finished
