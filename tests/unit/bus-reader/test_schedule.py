"""What a line reads next."""

from ccm_bus_reader.schedule import LATE_ROUNDS, Round, Schedule

FAST = frozenset({"fast"})
EVERYTHING = frozenset({"fast", "slow", "once"})


def taken(schedule: Schedule, now: float) -> Round:
    round_ = schedule.take(now)
    assert round_ is not None
    return round_


def test_first_round_reads_everything_later_ones_only_what_is_due() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    first = taken(schedule, 0.0)
    assert first.polls == EVERYTHING
    schedule.done(first, 0.0)
    assert schedule.take(0.9) is None
    assert taken(schedule, 1.0).polls == FAST


def test_slow_points_come_with_every_tenth_round() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    slow_at = []
    for second in range(31):
        round_ = taken(schedule, float(second))
        if "slow" in round_.polls:
            slow_at.append(second)
        schedule.done(round_, float(second))
    assert slow_at == [0, 10, 20, 30]


def test_slow_points_come_at_least_each_minute() -> None:
    schedule = Schedule()
    schedule.add("a", 30.0, 0.0)
    polls = []
    for moment in (0.0, 30.0, 60.0):
        round_ = taken(schedule, moment)
        polls.append("slow" in round_.polls)
        schedule.done(round_, moment)
    assert polls == [True, False, True]


def test_deadlines_do_not_drift_with_late_starts() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    schedule.done(taken(schedule, 0.0), 0.0)
    schedule.done(taken(schedule, 1.3), 1.3)
    assert schedule.next_at() == 2.0


def test_chatty_device_does_not_starve_another() -> None:
    schedule = Schedule()
    schedule.add("chatty", 0.1, 0.0)
    schedule.add("calm", 5.0, 0.0)
    served = {"chatty": 0, "calm": 0}
    for step in range(100):
        now = step * 1.0
        round_ = schedule.take(now)
        if round_ is not None:
            served[round_.device] += 1
            schedule.done(round_, now)
    assert served["calm"] == 20


def test_overloaded_line_serves_all_in_turn() -> None:
    schedule = Schedule()
    for name in "abc":
        schedule.add(name, 0.1, 0.0)
    order = []
    for step in range(9):
        round_ = taken(schedule, step * 1.0)
        order.append(round_.device)
        schedule.done(round_, step * 1.0)
    assert order == list("abcabcabc")


def test_a_line_that_is_asked_for_a_little_too_much_is_told_so_once() -> None:
    """Each round takes 1.06 intervals: one in 17 is left out."""
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    changes = [schedule.done(taken(schedule, 1.06 * step), 1.06 * step) for step in range(500)]
    assert [change for change in changes if change is not None] == [True]


def test_a_hiccup_now_and_then_is_no_overrun() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    now, changes = 0.0, []
    for step in range(500):
        changes.append(schedule.done(taken(schedule, now), now))
        now += 2.5 if step % 60 == 59 else 1.0
    assert set(changes) == {None}


def test_overrun_is_told_once_and_its_end_once() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    changes = []
    now = 0.0
    for step in range(80):
        round_ = taken(schedule, now)
        changes.append(schedule.done(round_, now))
        now += 3.0 if step < 10 else 1.0
    assert [change for change in changes if change is not None] == [True, False]
    assert changes.index(True) == LATE_ROUNDS


def test_silent_device_is_probed_ever_less_down_to_once_a_minute() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    waits = [schedule.silent("a", 0.0) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert schedule.take(59.0) is None
    assert taken(schedule, 60.0).is_probe


def test_answered_probe_brings_all_of_the_device_back_at_once() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0)
    schedule.done(taken(schedule, 0.0), 0.0)
    schedule.silent("a", 1.0)
    schedule.done(taken(schedule, 2.0), 2.0)
    back = taken(schedule, 2.0)
    assert back.polls == EVERYTHING
    assert not back.is_probe


def test_dead_device_leaves_the_others_their_deadlines() -> None:
    schedule = Schedule()
    schedule.add("dead", 1.0, 0.0)
    schedule.add("live", 1.0, 0.0)
    probes = 0
    for step in range(600):
        now = step / 10
        round_ = schedule.take(now)
        if round_ is None:
            continue
        if round_.device == "dead":
            probes += 1
            schedule.silent("dead", now)
        else:
            schedule.done(round_, now)
    assert probes <= 7


def test_reopened_line_reads_everybody_at_once() -> None:
    schedule = Schedule()
    schedule.add("a", 10.0, 0.0)
    schedule.done(taken(schedule, 0.0), 0.0)
    schedule.line_opened(3.0)
    assert taken(schedule, 3.0).polls == EVERYTHING


def test_slow_points_come_at_their_own_interval_where_one_is_set() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0, slow_s=5.0)
    slow_at = []
    for second in range(16):
        round_ = taken(schedule, float(second))
        if "slow" in round_.polls:
            slow_at.append(second)
        schedule.done(round_, float(second))
    assert slow_at == [0, 5, 10, 15]


def test_long_interval_of_slow_points_is_not_cut_short_by_rounds() -> None:
    schedule = Schedule()
    schedule.add("a", 1.0, 0.0, slow_s=300.0)
    schedule.done(taken(schedule, 0.0), 0.0)
    for second in range(1, 300):
        round_ = taken(schedule, float(second))
        assert round_.polls == FAST
        schedule.done(round_, float(second))
    assert "slow" in taken(schedule, 300.0).polls
