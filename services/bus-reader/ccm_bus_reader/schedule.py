"""What a line reads next: each device's fast, slow and once points by deadline, dead devices by backoff.

Pure: time comes in. Does not know points, blocks or wires. The earliest deadline is first, so a device that is asked
for often cannot starve another: once served, it stands behind all that wait longer.
"""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ccm_bus_reader.point import Poll

SLOW_ROUNDS: Final = 10
SLOWEST_S: Final = 60.0
"""Slow points come with every tenth round, or once this time has passed (`ccm_contracts.config.field.Device.poll_s`).
Counted in rounds, so that an overloaded line does not spend itself on them."""
FIRST_PROBE_S: Final = 1.0
SLOWEST_PROBE_S: Final = 60.0
"""A silent device is asked after 1, 2, 4... s and then once a minute."""
SOON_S: Final = 2.0
"""A device that missed a round, and is not given up yet, is tried again within this."""
LATE_ROUNDS: Final = 3
CALM_ROUNDS: Final = 50
"""So many rounds that come a whole interval late make an overrun, so many in a row that do not end it. On a line that
is asked for 2 % too much each 50th round is late, and is left out."""

FAST: Final[frozenset[Poll]] = frozenset({"fast"})
_POLLS: Final[dict[tuple[bool, bool], frozenset[Poll]]] = {
    (False, False): FAST,
    (True, False): FAST | {"slow"},
    (False, True): FAST | {"once"},
    (True, True): FAST | {"slow", "once"},
}
"""With the slow points or not, with the once points or not."""


class Round(NamedTuple):
    """Read these classes of points of this device now; a probe is one cheap read of a silent device."""

    device: str
    polls: frozenset[Poll]
    is_probe: bool = False


@dataclass(slots=True)
class Slot:
    """One device's deadlines (monotonic, s)."""

    poll_s: float
    fast_at: float
    slow_at: float
    wanted_slow_s: float | None = None
    stagger: int = 0
    """Rounds by which the first interval of its slow points is shorter, so that not all devices' come together."""
    needs_once: bool = True
    rounds: int = 0
    """Since its slow points were read."""
    probe_s: float | None = None
    """Interval of the probes while it is silent."""
    is_late: bool = False
    """Whether its last round began an interval late, or more."""
    late: int = 0
    """Such rounds, since so many in a row were none."""
    on_time: int = 0
    is_overrun: bool = False

    @property
    def slow_s(self) -> float:
        """Longest interval of its slow points."""
        return self.wanted_slow_s or max(SLOWEST_S, self.poll_s)

    @property
    def is_slow_due_by_rounds(self) -> bool:
        """Whether its slow points are due already, whatever the time."""
        return self.wanted_slow_s is None and self.rounds >= SLOW_ROUNDS


@dataclass(slots=True)
class Schedule:
    """The devices of one line."""

    slots: dict[str, Slot] = field(default_factory=dict)

    def add(self, device: str, poll_s: float, now: float, slow_s: float | None = None) -> None:
        """Due at once, and everything of it; `slow_s` is the interval of its slow points where it is set."""
        self.slots[device] = Slot(poll_s, now, now, slow_s, stagger=len(self.slots) % SLOW_ROUNDS)

    def remove(self, device: str) -> None:
        self.slots.pop(device, None)

    def next_at(self, busy: Container[str] = ()) -> float | None:
        """When the next round is due, of devices that are not `busy`; None without any."""
        return min((slot.fast_at for device, slot in self.slots.items() if device not in busy), default=None)

    def take(self, now: float, busy: Container[str] = ()) -> Round | None:
        """The round with the earliest deadline that is due, with all that is due of its device.

        `busy`: devices that another round is under way for.
        """
        first = None
        for device, slot in self.slots.items():
            if (first is None or slot.fast_at < first.fast_at) and device not in busy:
                first, name = slot, device
        if first is None or first.fast_at > now:
            return None
        if first.probe_s is not None:
            return Round(name, FAST, is_probe=True)
        is_slow = first.slow_at <= now or first.is_slow_due_by_rounds
        return Round(name, _POLLS[is_slow, first.needs_once])

    def done(self, round_: Round, started: float) -> bool | None:
        """The device answered a round that began at `started`; the next deadlines follow from that.

        True when its interval has begun to be missed, False when it is kept again, None without a change.
        """
        slot = self.slots.get(round_.device)
        if slot is None:
            return None
        if slot.probe_s is not None:
            slot.probe_s = None
            slot.needs_once = True
            slot.is_late = False
            slot.fast_at = slot.slow_at = started
            return None
        lateness_s = started - slot.fast_at
        if lateness_s > slot.poll_s:
            slot.fast_at = started
        slot.fast_at += slot.poll_s
        slot.rounds += 1
        if "slow" in round_.polls:
            slot.slow_at = started + slot.slow_s
            slot.rounds = 1 + (slot.stagger if slot.needs_once else 0)
        if "once" in round_.polls:
            slot.needs_once = False
        return _overrun(slot, is_late=lateness_s > slot.poll_s)

    def missed(self, device: str, now: float) -> None:
        """A round failed, but the device is not given up."""
        slot = self.slots.get(device)
        if slot is not None:
            slot.fast_at = now + min(slot.poll_s, SOON_S)

    def silent(self, device: str, now: float) -> float:
        """The device is given up, or its probe failed: all of it waits for the next probe; returns in how many s."""
        slot = self.slots[device]
        slot.probe_s = FIRST_PROBE_S if slot.probe_s is None else min(SLOWEST_PROBE_S, 2 * slot.probe_s)
        slot.fast_at = now + slot.probe_s
        return slot.probe_s

    def all_due(self, device: str, now: float) -> None:
        """All of the device is due; also in its next round where this one fails."""
        slot = self.slots[device]
        slot.slow_at = now
        slot.needs_once = True

    def postpone(self, device: str, until: float) -> None:
        """Nothing of the device may be asked before `until`."""
        slot = self.slots.get(device)
        if slot is not None:
            slot.fast_at = until

    def line_opened(self, now: float) -> None:
        """The line is back: everybody is due at once."""
        for slot in self.slots.values():
            slot.fast_at = slot.slow_at = now
            slot.needs_once = True
            slot.probe_s = None


def _overrun(slot: Slot, *, is_late: bool) -> bool | None:
    slot.is_late = is_late
    slot.on_time = 0 if is_late else slot.on_time + 1
    if is_late:
        slot.late += 1
    elif slot.on_time >= CALM_ROUNDS:
        slot.late = 0
    is_overrun = slot.late >= LATE_ROUNDS
    if is_overrun == slot.is_overrun:
        return None
    slot.is_overrun = is_overrun
    return is_overrun
