"""What a line's plan costs before it is applied: its share of the wire, and which intervals it cannot keep. Pure.

Takes the same plans and the same rules as the line itself (`plan.py`, `schedule.py`). Assumes that all devices answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.device import Device
from ccm_bus_reader.plan import Block, wire_time
from ccm_bus_reader.point import Poll
from ccm_bus_reader.schedule import SLOW_ROUNDS, Slot

FAST: Final[frozenset[Poll]] = frozenset({"fast"})
BOTH: Final[frozenset[Poll]] = frozenset({"fast", "slow"})
STEPS: Final = 60
"""Halvings in a search: more precise than a float can be."""
EDGE_S: Final = 1e-6
"""A device whose interval is so near to the lag stands at its edge."""
KEPT: Final = 1.02
"""An interval counts as kept when it is not longer than wanted by more than 2 %."""


@dataclass(frozen=True, slots=True)
class Share:
    """One device of a line. Times in s of wire, silence and turnaround included."""

    device: str
    interval_s: float
    """Wanted between two rounds."""
    reachable_s: float
    """What the line can keep."""
    fast_s: float
    """One round of the fast points."""
    full_s: float
    """One round of the fast and the slow points."""
    slow_interval_s: float
    """Between two rounds with the slow points, at the reachable interval."""
    share: float
    """Of the wire, 0...1, at the reachable interval."""
    reads: int
    """Requests of a fast round."""

    @property
    def is_kept(self) -> bool:
        return self.reachable_s <= self.interval_s * KEPT


@dataclass(frozen=True, slots=True)
class Budget:
    """A line. `wanted` is the wire time that the plan asks for in each second; above 1 it cannot have it."""

    wanted: float
    utilisation: float
    cycle_s: float
    """One fast round of all devices, one after the other."""
    shares: tuple[Share, ...]

    @property
    def missed(self) -> tuple[Share, ...]:
        """Devices whose interval cannot be kept."""
        return tuple(share for share in self.shares if not share.is_kept)


@dataclass(frozen=True, slots=True)
class _Load:
    device: Device
    fast_s: float
    full_s: float
    lanes: int

    @property
    def own_s(self) -> float:
        """The interval that the device itself allows: wanted, or what it takes with its rest after each read."""
        rest_s, poll_s = self.device.rest_s, self.device.config.poll_s
        if not rest_s:
            return poll_s
        rounds = self.rounds_per_slow(poll_s)
        fast_s = self.fast_s + rest_s * len(self.device.blocks(FAST))
        full_s = self.full_s + rest_s * len(self.device.blocks(BOTH))
        return max(poll_s, ((rounds - 1) * fast_s + full_s) / rounds)

    def rounds_per_slow(self, interval_s: float) -> float:
        """Rounds from one with slow points to the next, at this interval."""
        config = self.device.config
        rounds = Slot(config.poll_s, 0.0, 0.0, config.slow_s).slow_s / interval_s
        return max(1.0, rounds if config.slow_s is not None else min(SLOW_ROUNDS, rounds))

    def share(self, interval_s: float) -> float:
        """Of the wire, when a round begins each `interval_s`."""
        rounds = self.rounds_per_slow(interval_s)
        return ((rounds - 1) * self.fast_s + self.full_s) / rounds / interval_s / self.lanes

    def reachable_s(self, lag_s: float) -> float:
        """Its interval on a line that lags behind by `lag_s`."""
        own_s = self.own_s
        return own_s if lag_s <= own_s else own_s + lag_s


def budget_of(
    devices: Iterable[Device], time_of: Callable[[Device, Block], float], *, lanes: int = 1
) -> Budget:
    """The budget of a line with these devices; `time_of` says what a read of a device takes, s; so many at once.

    A line that is full serves by deadline, so all rounds begin late by the same lag. Who wants to be read more often
    than the lag begins anew from there and is read each interval plus lag; the others keep their interval.
    """
    loads = [_load(device, time_of, lanes) for device in devices]
    wanted = _wanted(loads)
    intervals = _intervals(loads) if wanted > 1 else [load.own_s for load in loads]
    shares = tuple(_share(load, interval_s) for load, interval_s in zip(loads, intervals, strict=True))
    return Budget(
        wanted=wanted,
        utilisation=min(1.0, wanted),
        cycle_s=sum(load.fast_s for load in loads) / lanes,
        shares=shares,
    )


def utilisation_of(
    devices: Iterable[Device], time_of: Callable[[Device, Block], float], *, lanes: int = 1
) -> float:
    """The budget's `utilisation`, 0...1, without the intervals of a line that is full."""
    return min(1.0, _wanted([_load(device, time_of, lanes) for device in devices]))


def _wanted(loads: Iterable[_Load]) -> float:
    return sum(load.share(load.own_s) for load in loads)


def _load(device: Device, time_of: Callable[[Device, Block], float], lanes: int) -> _Load:
    fast_s = sum(time_of(device, block) for block in device.blocks(FAST))
    full_s = sum(time_of(device, block) for block in device.blocks(BOTH))
    return _Load(device, fast_s, full_s, lanes)


def _intervals(loads: list[_Load]) -> list[float]:
    """What each device is read in when the line is full, s.

    The lag may settle right at the interval of some devices, which then keep it in some rounds and not in others.
    """
    lag_s = _least(lambda lag_s: _total(loads, [load.reachable_s(lag_s) for load in loads]) <= 1, 1.0)

    def mixed(part: float) -> list[float]:
        return [
            load.own_s + part * lag_s if abs(load.own_s - lag_s) < EDGE_S else load.reachable_s(lag_s)
            for load in loads
        ]

    return mixed(_least(lambda part: _total(loads, mixed(part)) <= 1, 1.0))


def _total(loads: list[_Load], intervals: list[float]) -> float:
    return sum(load.share(interval_s) for load, interval_s in zip(loads, intervals, strict=True))


def _least(fits: Callable[[float], bool], high: float) -> float:
    """The least number from 0 on that fits, where all greater ones fit too."""
    low = 0.0
    while not fits(high):
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _share(load: _Load, interval_s: float) -> Share:
    return Share(
        device=load.device.id,
        interval_s=load.device.config.poll_s,
        reachable_s=interval_s,
        fast_s=load.fast_s,
        full_s=load.full_s,
        slow_interval_s=load.rounds_per_slow(interval_s) * interval_s,
        share=load.share(interval_s),
        reads=len(load.device.blocks(FAST)),
    )


def measured_time(device: Device, block: Block) -> float:
    """What a read takes: its bytes and silence, with the turnaround that the device showed, or its profile's."""
    cost = device.cost
    turnaround_s = device.turnaround_s
    if turnaround_s is None:
        turnaround_s = device.profile.timing.turnaround_ms / 1000
    gap_s = max(0.0, device.gap_s - cost.silence_s)
    return wire_time(block, cost) - cost.turnaround_s + turnaround_s + gap_s
