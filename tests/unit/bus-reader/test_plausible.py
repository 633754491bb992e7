"""What jumps is read again; what a counter did is told once. Values as decoded, 10 s apart."""

from collections.abc import Mapping
from typing import Any

import pytest

from ccm_bus_reader.plausible import Beliefs, Finding
from ccm_bus_reader.point import Point
from ccm_contracts.messages import Value


def point(metric: str, **more: Any) -> Point:
    return Point(metric=metric, function=4, address=0, type="u32", scale="0.001", **more)


def beliefs(*points: Point) -> Beliefs:
    return Beliefs(points or (point("v1"), point("e_imp"), point("p", step=500)))


def take(known: Beliefs, values: Mapping[str, Value], at: float) -> set[str]:
    """What is doubted of a read."""
    return set(known.watch(values).take(values, at))


def test_the_first_value_of_a_metric_is_believed() -> None:
    assert take(beliefs(), {"v1": 230.1, "e_imp": 812.5, "p": 900000}, 0.0) == set()


def test_a_value_within_its_step_is_believed_and_one_beyond_is_doubted() -> None:
    known = beliefs()
    known.believe({"v1": 230.1, "p": 100})
    assert take(known, {"v1": 180.0, "p": 600}, 10.0) == set()
    assert take(known, {"v1": 12.0, "p": 1101}, 10.0) == {"v1", "p"}
    assert take(known, {"v1": 80.0, "p": 1100}, 10.0) == set()


def test_a_jump_that_the_second_read_confirms_is_published_without_a_word() -> None:
    known = beliefs()
    known.believe({"p": 100})
    values, findings = known.settled({"p": 3000}, {"p": 3100}, {"p"}, 10.0)
    assert (values, findings) == ({"p": 3100}, [])


def test_a_jump_that_the_second_read_denies_is_a_glitch_and_the_second_stands() -> None:
    known = beliefs()
    known.believe({"p": 100})
    values, findings = known.settled({"p": 90000}, {"p": 120}, {"p"}, 10.0)
    assert values == {"p": 120}
    assert findings == [Finding("p", "glitch", 100, 90000)]


def test_two_reads_that_agree_on_nothing_are_unknown() -> None:
    known = beliefs()
    known.believe({"p": 100})
    values, findings = known.settled({"p": 90000}, {"p": -70000}, {"p"}, 10.0)
    assert values == {"p": None}
    assert [each.what for each in findings] == ["unsure"]


def test_a_counter_that_is_read_wrong_once_leaves_no_trace() -> None:
    """The registers of another unit: home-assistant/core#138077 saw spikes of thousands of kWh."""
    known = beliefs()
    known.counted({"e_imp": 812.5}, 0.0)
    assert take(known, {"e_imp": 4000.0}, 10.0) == {"e_imp"}
    values, findings = known.settled({"e_imp": 4000.0}, {"e_imp": 812.51}, {"e_imp"}, 10.0)
    assert values == {"e_imp": 812.51}
    assert [each.what for each in findings] == ["glitch"]
    assert known.counted(values, 10.0) == ({"e_imp_acc": 812.51}, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(100.0, False), (100.5, False), (99.999, True), (0, True), (110, True)],
)
def test_a_counter_that_steps_back_or_counts_too_much_is_doubted(value: float, expected: bool) -> None:
    """1000 kWh in an hour are 2.8 kWh in 10 s."""
    known = beliefs()
    known.counted({"e_imp": 100}, 0.0)
    assert bool(take(known, {"e_imp": value}, 10.0)) is expected


def test_a_counter_that_stood_still_for_long_may_not_jump_all_at_once() -> None:
    known = beliefs()
    for number in range(100):
        known.counted({"e_imp": 100}, 10.0 * number)
    assert take(known, {"e_imp": 110}, 1000.0) == {"e_imp"}


def test_a_reset_is_told_once_and_the_accumulated_counter_goes_on() -> None:
    known = beliefs()
    known.counted({"e_imp": 812.5}, 0.0)
    assert known.counted({"e_imp": 0.25}, 10.0) == (
        {"e_imp_acc": 812.75},
        [Finding("e_imp", "reset", 812.5, 0.25)],
    )
    assert known.counted({"e_imp": 0.5}, 20.0) == ({"e_imp_acc": 813}, [])


def test_a_counter_without_an_accumulated_one_is_watched_as_well() -> None:
    known = beliefs(point("eq_q1"))
    known.counted({"eq_q1": 5.0}, 0.0)
    totals, findings = known.counted({"eq_q1": 0.0}, 10.0)
    assert (totals, [each.what for each in findings]) == ({}, ["reset"])


def test_unknown_values_neither_count_nor_are_doubted() -> None:
    known = beliefs()
    known.counted({"e_imp": 812.5}, 0.0)
    assert take(known, {"e_imp": None, "v1": None}, 10.0) == set()
    assert known.counted({"e_imp": None}, 10.0) == ({}, [])
    assert known.counted({"e_imp": 812.6}, 20.0)[0] == {"e_imp_acc": 812.6}


def test_a_value_that_truly_jumps_each_round_does_not_cost_a_second_read_for_ever() -> None:
    """100 and 900 W in turn, with a step of 500 W: after three jumps the step is 1000 W."""
    known = beliefs()
    doubted = 0
    for number in range(20):
        value = {"p": 900 if number % 2 else 100}
        doubted += bool(take(known, value, 10.0 * number))
        known.believe(value)
    assert doubted == 3
