"""How many readings of each device were delivered: a number that is right again after any kill. Pure.

What is counted is on the bus at most every 5 s, but the bus knows what was acknowledged: all up to a consumer's floor,
and of what was handed out beyond it all that does not come again. So a process begins with the count up to where its
predecessor was complete, and adds both. Not with a latency: which readings it left out nobody knows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ccm_contracts.state import DeviceDelivery, Missing


@dataclass(slots=True)
class Hold:
    """What of a segment was handed out beyond its floor, until that is done with; numbers by device."""

    until: int
    """In the stream's sequence."""
    floor: dict[str, int]
    handed: dict[str, int]
    is_exact: bool
    counted: dict[str, int] = field(default_factory=dict)
    """Up to where the count has all that was delivered, whatever comes again of it."""
    again: Counter[str] = field(default_factory=Counter)
    """What came again beyond that and was delivered."""


def span(missing: Iterable[Missing], device: str, above: int, up_to: int) -> int:
    """How many numbers of the device are in `(above, up_to]` and not in `missing`; negative when it goes back."""
    if up_to < above:
        return -span(missing, device, up_to, above)
    count = up_to - above
    for first, last in sorted((each.first_seq, each.last_seq) for each in missing if each.device == device):
        begin, end = max(first, above + 1), min(last, up_to)  # ranges may overlap
        if begin <= end:
            count -= end - begin + 1
            above = end
    return count


@dataclass(slots=True)
class Tally:
    """`complete` is up to where each device is settled, `_counted` how many of those were delivered, if it is known."""

    complete: dict[str, int] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _counted: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _is_restored: bool = False

    def restore(self, devices: Iterable[DeviceDelivery]) -> None:
        """What the process before wrote."""
        stored = list(devices)
        self._counts = {each.device: each.delivered for each in stored}
        self.complete = {each.device: each.complete_to for each in stored if each.complete_to is not None}
        self._counted = {
            each.device: each.complete_delivered for each in stored if each.complete_delivered is not None
        }
        self._begun.clear()
        self._is_restored = True

    def begins(
        self, segment: str, hold: Hold, before: Mapping[str, int] | None, missing: Iterable[Missing]
    ) -> None:
        """A lane starts on a segment; `before` are the last numbers before it, None of the oldest segment.

        Once for each segment and process.
        """
        if segment in self._begun:
            self._goes_on(segment, hold)
            return
        self._begun.add(segment)
        if hold.until:
            self.holds[segment] = hold
        if not hold.is_exact:
            return
        if self._is_restored:
            self._counts |= self._counted
            self._is_restored = False
        start = self.complete if before is None else before
        for device in start.keys() & self._counted.keys():
            counted = hold.counted[device] = max(start[device], hold.floor.get(device, start[device]))
            self._counts[device] += span(missing, device, start[device], counted)

    def _goes_on(self, segment: str, hold: Hold) -> None:
        """Another lane of this process, which counted what it delivered."""
        before = self.holds.get(segment)
        if before is not None:
            before.until = max(before.until, hold.until)
        elif hold.until:
            self.holds[segment] = replace(hold, is_exact=False)

    def add(self, segment: str, device: str, delivered: Sequence[tuple[int, object]]) -> None:
        """These numbers were delivered, each with something that does not matter here."""
        count = len(delivered)
        hold = self.holds.get(segment)
        if hold is not None and device in hold.counted:
            counted, handed = hold.counted[device], hold.handed.get(device, -1)
            fresh = [seq for seq, _ in delivered if seq > counted]
            hold.again[device] += sum(seq <= handed for seq in fresh)
            count = len(fresh)
        self._counts[device] = self._counts.get(device, 0) + count

    def is_done_to(self, segment: str, at: int | None, missing: Iterable[Missing]) -> None:
        """The segment is acknowledged up to `at`, None: all of it. What did not come again was delivered before."""
        hold = self.holds.get(segment)
        if hold is None or (at is not None and at < hold.until):
            return
        del self.holds[segment]
        for device, counted in hold.counted.items():
            up_to = max(counted, hold.handed.get(device, counted))
            self._counts[device] += max(0, span(missing, device, counted, up_to) - hold.again[device])

    def advance(self, device: str, to: int, missing: Iterable[Missing]) -> None:
        """All of the device up to `to` is settled."""
        before = self.complete.get(device)
        self.complete[device] = to
        if before is not None and device in self._counted and to != before:
            self._counted[device] += span(missing, device, before, to)
            if self._counted[device] < 0:  # the device counts anew
                del self._counted[device]

    def is_at_rest(self, device: str) -> None:
        """Nothing of the device is under way."""
        self._counted.setdefault(device, self._counts.get(device, 0))

    def forget_parts(self) -> None:
        """How many of those up to `complete` were delivered cannot be told from their numbers."""
        self._counted.clear()

    def forget_segments(self) -> None:
        self.forget_parts()
        self.holds.clear()
        self._begun.clear()

    def forget(self, device: str) -> None:
        for each in (self.complete, self._counts, self._counted):
            each.pop(device, None)

    def of(self, device: str) -> tuple[int, int | None, int | None]:
        """How many were delivered, up to where all are settled, and how many of those were delivered."""
        return self._counts.get(device, 0), self.complete.get(device), self._counted.get(device)
