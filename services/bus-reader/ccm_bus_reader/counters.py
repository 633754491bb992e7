"""Energy counters that step back: jitter, reset, roll-over or another meter, told apart. Pure.

With each counter goes an accumulated one (`<metric>_acc`, kWh or kvarh) that never steps back: it adds what the meter
counted and nothing else. Its pair of numbers, raw and accumulated, is kept outside and given back after a restart.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

Change = Literal["jitter", "rollover", "reset", "replaced", "stepped-back", "jumped"]

JITTER_STEPS: Final = 5
"""A step back by so many of the counter's smallest steps is noise of the meter, not a loss."""
NEAR_END: Final = Decimal("0.98")
"""A counter that rolls over was in the last 2 % of its range."""
RESET_BELOW: Final = Decimal("0.1")
"""After a reset a counter stands below a tenth of where it stood; otherwise nobody knows what happened."""
HOURS: Final = Decimal(3600)
ENDS: Final = 2
"""Smallest steps by which the rounding of two values can make a difference larger."""


@dataclass(frozen=True, slots=True)
class CounterRule:
    """What a counter can do. Quantities in its own unit (kWh, kvarh, kVAh)."""

    step: Decimal
    """Its smallest step."""
    per_hour: Decimal
    """The most that it counts in an hour: more is not believed."""
    range: Decimal | None = None
    """It begins again at 0 when it reaches this; None: not known."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Where one counter stands. `highest` is above `raw` while the meter jitters below what it showed before."""

    raw: Decimal
    total: Decimal
    at: float
    """When `raw` was read, s."""
    highest: Decimal

    @classmethod
    def begun(cls, raw: Decimal, at: float) -> "Counter":
        """A counter that is seen for the first time: the accumulated one starts where the meter stands."""
        return cls(raw, raw, at, raw)


@dataclass(frozen=True, slots=True)
class Step:
    """The counter after a new value, and what happened when it was no ordinary one."""

    counter: Counter
    change: Change | None = None
    lost: bool = False
    """Whether energy may have been counted meanwhile that nobody can know."""


def step(
    counter: Counter, raw: Decimal, at: float, rule: CounterRule, *, is_other_meter: bool = False
) -> Step:
    """Take in a value that is believed. `is_other_meter`: the serial number changed since the last one.

    A jitter is told once until the meter shows more than it ever did.
    """
    if is_other_meter:
        return Step(replace(counter, raw=raw, at=at, highest=raw), "replaced", lost=True)
    if raw >= counter.highest:
        if raw - counter.raw > _most(counter, at, rule):
            return Step(replace(counter, raw=raw, at=at, highest=raw), "jumped", lost=True)
        total = counter.total + raw - counter.highest
        return Step(Counter(raw, total, at, raw))
    if counter.highest - raw <= JITTER_STEPS * rule.step:
        was_below = counter.raw < counter.highest
        return Step(replace(counter, raw=raw, at=at), None if was_below else "jitter")
    return _stepped_back(counter, raw, at, rule)


def resumed(kept: Counter, raw: Decimal, total: Decimal, at: float, rule: CounterRule) -> Counter:
    """Where a counter stands whose newest reading, published at `at`, said `raw` and `total`; `kept` is older.

    What happened between the two is not known, but what was published is not taken back.
    """
    done = step(kept, raw, at, rule)
    ahead = max(total - done.counter.total, Decimal(0)) if done.change is None else Decimal(0)
    highest = done.counter.highest + ahead
    return Counter(raw, max(total, kept.total), kept.at, highest)


def _stepped_back(counter: Counter, raw: Decimal, at: float, rule: CounterRule) -> Step:
    most = _most(counter, at, rule)
    if rule.range is not None and counter.highest >= NEAR_END * rule.range:
        counted = raw + rule.range - counter.highest
        if 0 <= counted <= most:
            return Step(Counter(raw, counter.total + counted, at, raw), "rollover")
    if raw <= most and raw <= RESET_BELOW * counter.highest:
        return Step(Counter(raw, counter.total + raw, at, raw), "reset")
    return Step(replace(counter, raw=raw, at=at, highest=raw), "stepped-back", lost=True)


def _most(counter: Counter, at: float, rule: CounterRule) -> Decimal:
    """The most that can have been counted since the last value, with a step for each end's rounding."""
    elapsed_s = Decimal(max(0.0, at - counter.at))
    return rule.per_hour * elapsed_s / HOURS + ENDS * rule.step
