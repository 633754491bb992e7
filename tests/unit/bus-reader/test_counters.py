"""Energy counters that step back. The meter is an SDM630's import counter unless said: 0.001 kWh steps."""

from decimal import Decimal

from ccm_bus_reader.counters import Change, Counter, CounterRule, Step, resumed, step

RULE = CounterRule(step=Decimal("0.001"), per_hour=Decimal(1000), range=Decimal("4294967.296"))
"""u32 in Wh: 2**32 / 1000 kWh. 1000 kWh in an hour is 2.7 kWh in 10 s."""


def run(first: str, *then: str, seconds: float = 10.0, rule: CounterRule = RULE) -> list[Step]:
    """The steps of a counter that is read each `seconds`."""
    counter, steps = Counter.begun(Decimal(first), 0.0), []
    for number, raw in enumerate(then, 1):
        done = step(counter, Decimal(raw), number * seconds, rule)
        steps.append(done)
        counter = done.counter
    return steps


def changes(steps: list[Step]) -> list[Change | None]:
    return [each.change for each in steps]


def test_a_counter_that_counts_accumulates_what_it_counts() -> None:
    steps = run("100", "100.5", "101.25")
    assert changes(steps) == [None, None]
    assert steps[-1].counter.total == Decimal("101.25")


def test_jitter_is_told_once_and_never_counted() -> None:
    steps = run("100.010", "100.009", "100.008", "100.010", "100.012")
    assert changes(steps) == ["jitter", None, None, None]
    assert [each.counter.total for each in steps] == [Decimal("100.010")] * 3 + [Decimal("100.012")]


def test_roll_over_of_an_unsigned_type_counts_both_sides_of_its_end() -> None:
    """2**32 Wh - 0.296 kWh before, 0.2 kWh after: 0.496 kWh."""
    (only,) = run("4294967.000", "0.200")
    assert only.change == "rollover"
    assert only.counter.total == Decimal("4294967.496")
    assert not only.lost


def test_roll_over_of_six_digits_that_the_profile_names() -> None:
    rule = CounterRule(Decimal("0.1"), Decimal(1000), range=Decimal("1000000"))
    (only,) = run("999999.9", "0.1", rule=rule)
    assert (only.change, only.counter.total) == ("rollover", Decimal("1000000.1"))


def test_reset_goes_on_from_zero() -> None:
    steps = run("5000", "0.002", "0.102")
    assert changes(steps) == ["reset", None]
    assert steps[-1].counter.total == Decimal("5000.102")


def test_a_reset_near_the_end_of_the_range_that_cannot_be_a_roll_over_is_a_reset() -> None:
    """20,000 kWh short of the end cannot have been counted in 10 s."""
    (only,) = run("4274967", "0.5")
    assert (only.change, only.counter.total) == ("reset", Decimal("4274967.5"))


def test_a_step_back_to_a_large_number_counts_nothing_and_says_that_energy_may_be_lost() -> None:
    steps = run("5000", "4200", "4201")
    assert changes(steps) == ["stepped-back", None]
    assert steps[0].lost
    assert steps[-1].counter.total == Decimal("5001")


def test_another_meter_goes_on_from_where_it_stands() -> None:
    counter = Counter.begun(Decimal(5000), 0.0)
    done = step(counter, Decimal(12), 10.0, RULE, is_other_meter=True)
    assert (done.change, done.lost, done.counter.total) == ("replaced", True, Decimal(5000))
    assert step(done.counter, Decimal("12.5"), 20.0, RULE).counter.total == Decimal("5000.5")


def test_a_jump_that_no_load_can_count_is_not_accumulated() -> None:
    steps = run("5000", "9000", "9000.5")
    assert changes(steps) == ["jumped", None]
    assert steps[-1].counter.total == Decimal("5000.5")


def test_what_was_counted_while_the_gateway_was_off_is_accumulated() -> None:
    """Ten hours at 50 kW."""
    (only,) = run("5000", "5500", seconds=36_000)
    assert (only.change, only.counter.total) == (None, Decimal(5500))


def test_the_accumulated_counter_never_steps_back_whatever_the_meter_shows() -> None:
    shown = ["10", "10.004", "10.003", "0", "3", "2.999", "2", "4294967", "0.1", "0", "77"]
    totals = [each.counter.total for each in run("9", *shown)]
    assert totals == sorted(totals)


# --- across a restart ------------------------------------------------------------------------------------


def gone_on(raw: str, total: str, at: float = 40.0) -> Counter:
    """Kept at 100 kWh with 150 accumulated; then a reading said `raw` and `total`."""
    kept = Counter(Decimal(100), Decimal(150), 0.0, Decimal(100))
    return resumed(kept, Decimal(raw), Decimal(total), at, RULE)


def test_what_was_counted_since_is_what_the_newest_reading_says() -> None:
    counter = gone_on("100.5", "150.5")
    assert (counter.raw, counter.total, counter.highest) == (
        Decimal("100.5"),
        Decimal("150.5"),
        Decimal("100.5"),
    )


def test_a_reset_that_was_published_is_not_counted_again() -> None:
    """100.4 were shown before it: 0.4, then 2 from zero on."""
    counter = gone_on("2", "152.4")
    assert step(counter, Decimal(3), 50.0, RULE).counter.total == Decimal("153.4")


def test_a_jitter_that_was_published_is_not_counted_when_it_ends() -> None:
    """It showed 100.004, then 100.003: what comes up to 100.004 was counted before."""
    counter = gone_on("100.003", "150.004")
    assert step(counter, Decimal("100.004"), 50.0, RULE).counter.total == Decimal("150.004")
    assert step(counter, Decimal("100.006"), 50.0, RULE).counter.total == Decimal("150.006")


def test_another_meter_that_was_published_counts_from_where_it_stands() -> None:
    counter = gone_on("700", "150.2")
    assert step(counter, Decimal("700.5"), 50.0, RULE).counter.total == Decimal("150.7")
