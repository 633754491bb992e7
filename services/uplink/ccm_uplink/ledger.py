"""What one link delivered of each device, and what it could not, by sequence number. Pure.

Fed by the lanes: `saw` for each reading that came from the bus, `settled` for each that is done with.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import lt
from typing import Final

from ccm_contracts.messages import Reading
from ccm_contracts.state import DeviceDelivery, LinkLedger, Missing, MissingReason
from ccm_uplink.tally import Hold, Tally

MOST_DEVICES: Final = 300
"""Beyond it the device that was silent for longest is forgotten."""
MOST_MISSING: Final = 100
"""Newest ranges kept; `dropped` counts all of them."""
MOST_UNFIT: Final = 1000
"""Messages that could not be parsed; beyond it the oldest is forgotten, and its number called `never-stored`."""
MOST_SUSPECTS: Final = 1000
"""Of a segment; beyond it the oldest is called missing at once."""

FROM_ITS_START: Final = -1
"""The first number of a segment that a process before this one began."""


def _gap(device: str, first: int, last: int, now: datetime, *, is_expired: bool) -> Missing:
    reason: MissingReason = "expired" if is_expired else "never-stored"
    return Missing(device=device, first_seq=first, last_seq=last, reason=reason, noticed=now)


@dataclass(slots=True)
class _Progress:
    """One segment's way through one device: first and last number that it saw, the last it is done with."""

    first: int
    last: int
    at: int
    """The stream's sequence of `last`."""
    settled: int | None = None


@dataclass(slots=True)
class _Delivered:
    last_seq: int
    last_ts: datetime

    def learn(self, seq: int, ts: datetime) -> None:
        if seq > self.last_seq or ts > self.last_ts:
            self.last_seq, self.last_ts = seq, ts


@dataclass(slots=True)
class Ledger:
    """`dropped`, `thinned` and `refused` count readings since the ledger began."""

    missing: list[Missing] = field(default_factory=list)
    news: list[Missing] = field(default_factory=list)
    """Of `missing`, what nobody was told yet."""
    dropped: int = 0
    thinned: int = 0
    refused: int = 0
    _delivered: dict[str, _Delivered] = field(default_factory=dict)
    _tally: Tally = field(default_factory=Tally)
    _segments: dict[str, dict[str, _Progress]] = field(default_factory=dict)
    _thinned_before: int = 0
    _suspects: dict[str, list[tuple[int, Missing]]] = field(default_factory=dict)
    """Of each segment, what was passed over, with the stream's sequence of the reading after it; in that order."""
    _unfit: deque[tuple[str, str, int]] = field(default_factory=lambda: deque(maxlen=MOST_UNFIT))
    """Segment, device and stream's sequence of what could not be parsed: its number is not known."""

    @property
    def has_delivered(self) -> bool:
        """Something, perhaps before this process began."""
        return bool(self._delivered)

    def restore(self, stored: LinkLedger) -> None:
        """Go on from what was written before this process began."""
        self._delivered = {each.device: _Delivered(each.last_seq, each.last_ts) for each in stored.devices}
        self._tally.restore(stored.devices)
        self.missing, self.news = list(stored.missing), []
        self.dropped, self.thinned, self.refused = stored.dropped, stored.thinned, stored.refused
        self._thinned_before = self.thinned

    def begins(
        self,
        segment: str,
        settled: Iterable[tuple[str, int, int]],
        handed_out: Iterable[tuple[str, int, int]] = (),
        until: int = 0,
        *,
        before: Mapping[str, int] | None = None,
        is_exact: bool = True,
    ) -> None:
        """A lane starts; `settled` is (device, seq, stream's sequence) of what was done with before.

        What was handed out beyond that, up to `until` and the numbers in `handed_out`, was done with too or comes
        again: it is no gap, and nothing more is complete until `is_acknowledged_to` has passed it. `before`: the last
        numbers before the segment, None of the oldest one. `is_exact`: without a latency, all of it is delivered.
        """
        progress = self._segments.setdefault(segment, {})
        known = {device: seq for device, seq, _ in settled}
        for device, seq, at in settled:
            progress.setdefault(device, _Progress(FROM_ITS_START, seq, at, settled=seq))
        for device, seq, at in handed_out:
            known_one = progress.setdefault(device, _Progress(FROM_ITS_START, seq, at))
            if at > known_one.at:
                known_one.last, known_one.at = seq, at
        handed = {device: seq for device, seq, _ in handed_out}
        self._tally.begins(segment, Hold(until, known, handed, is_exact), before, self.missing)

    def follow(self, segment: str, device: str, seqs: Sequence[int], ats: Sequence[int]) -> bool:
        """Whether these are the next ones of the device, which are then noted; the usual case of `saw`.

        `ats` are their sequences in the stream.
        """
        before = self._segments[segment].get(device) if segment in self._segments else None
        if before is None or ats[0] <= before.at or not all(map(lt, ats, ats[1:])):
            return False
        if seqs != list(range(before.last + 1, before.last + 1 + len(seqs))):
            return False
        before.last, before.at = seqs[-1], ats[-1]
        return True

    def is_gap(self, segment: str, device: str, seq: int) -> bool:
        """Whether numbers are missing before this one."""
        before = self._segments.get(segment, {}).get(device)
        return before is not None and seq > before.last + 1

    def saw(self, segment: str, device: str, seq: int, at: int, now: datetime, first_kept: int) -> None:
        """A reading came from the bus at `at`; the stream's oldest message is `first_kept`."""
        progress = self._segments.setdefault(segment, {})
        before = progress.get(device)
        if before is None:
            progress[device] = _Progress(seq, seq, at)
            return
        if at <= before.at:
            self._came_after_all(segment, device, seq)
            return
        if seq > before.last + 1:
            gap = _gap(device, before.last + 1, seq - 1, now, is_expired=first_kept > before.at + 1)
            if seq - 1 - before.last <= self._unfit_between(segment, device, before.at, at):
                gap = gap.model_copy(update={"reason": "refused"})
            suspects = self._suspects.setdefault(segment, [])
            suspects.append((at, gap))
            if len(suspects) > MOST_SUSPECTS:
                self._note(suspects.pop(0)[1])
        before.last, before.at = seq, at

    def was_unfit(self, segment: str, at: int, ids: dict[str, str]) -> None:
        """A message came from the bus at `at` and could not be parsed; `ids` are those of its subject."""
        self.refused += 1
        if "device" in ids:
            self._unfit.append((segment, ids["device"], at))

    def _unfit_between(self, segment: str, device: str, first: int, last: int) -> int:
        """How many messages of the device could not be parsed there."""
        stamps = {at for name, whose, at in self._unfit if name == segment and whose == device}
        return sum(first < at < last for at in stamps)

    def was_refused(self, message: object, now: datetime) -> None:
        """The far end will never take it."""
        self.refused += 1
        if isinstance(message, Reading):
            seq = message.seq
            gap = Missing(device=message.device, first_seq=seq, last_seq=seq, reason="refused", noticed=now)
            self._note(gap)

    def has_suspects(self, segment: str) -> bool:
        """Numbers that were passed over or handed out before: they may yet be handed out again."""
        return bool(self._suspects.get(segment)) or segment in self._tally.holds

    def due(self, segment: str, at: int | None = None) -> list[tuple[int, Missing]]:
        """What is called missing when all of it, or up to `at`, is acknowledged; with where it was noticed."""
        return [each for each in self._suspects.get(segment, []) if at is None or each[0] <= at]

    def were_stored(self, segment: str, gap: Missing, up_to: int) -> None:
        """The stream has, or had, the numbers of `gap` up to `up_to`: others were done with them."""
        left: list[tuple[int, Missing]] = []
        for at, each in self._suspects.get(segment, []):
            if each is not gap or up_to < gap.first_seq:
                left.append((at, each))
            elif up_to < gap.last_seq:
                left.append((at, gap.model_copy(update={"first_seq": up_to + 1})))
        self._suspects[segment] = left

    def is_acknowledged_to(self, segment: str, at: int) -> None:
        """All of the segment up to `at` was acknowledged: what did not come until then is missing."""
        suspects = self._suspects.pop(segment, [])
        for each in suspects:
            if each[0] <= at:
                self._note(each[1])
        self._suspects[segment] = [each for each in suspects if each[0] > at]
        self._tally.is_done_to(segment, at, self.missing)

    def _came_after_all(self, segment: str, device: str, seq: int) -> None:
        """The server hands out again, after newer ones, what a killed process or a broken connection lost."""
        left: list[tuple[int, Missing]] = []
        for at, gap in self._suspects.get(segment, []):
            if gap.device != device or not gap.first_seq <= seq <= gap.last_seq:
                left.append((at, gap))
                continue
            for first, last in ((gap.first_seq, seq - 1), (seq + 1, gap.last_seq)):
                if first <= last:
                    left.append((at, gap.model_copy(update={"first_seq": first, "last_seq": last})))
        self._suspects[segment] = left

    def settled(self, segment: str, device: str, seq: int) -> None:
        """It was delivered, or is not to be."""
        progress = self._segments.get(segment, {}).get(device)
        if progress is not None:
            progress.settled = max(seq, progress.settled if progress.settled is not None else seq)

    def was_delivered(self, segment: str, device: str, delivered: Sequence[tuple[int, datetime]]) -> bool:
        """At least one (number, time) of this device, in the order of delivery; whether it is its first."""
        is_new = device not in self._delivered
        self.is_known_to_have(device, *delivered[0])
        known = self._delivered[device]
        self._tally.add(segment, device, delivered)
        for seq, ts in delivered:
            known.learn(seq, ts)
        return is_new

    def is_known_to_have(self, device: str, seq: int, ts: datetime) -> None:
        """It was delivered, perhaps before this process began."""
        known = self._delivered.pop(device, None) or _Delivered(seq, ts)
        known.learn(seq, ts)
        self._delivered[device] = known
        if len(self._delivered) > MOST_DEVICES:
            oldest = next(iter(self._delivered))
            del self._delivered[oldest]
            self._tally.forget(oldest)

    def ends(self, segment: str, following: str | None, now: datetime, first_kept: int) -> None:
        """A segment is delivered to its end, and `following` is the oldest now."""
        for _, gap in self._suspects.pop(segment, []):
            self._note(gap)
        self._tally.is_done_to(segment, None, self.missing)
        ended = self._segments.pop(segment, {})
        then = self._segments.setdefault(following, {}) if following is not None else {}
        for device, before in ended.items():
            self._tally.advance(device, before.last, self.missing)
            next_one = then.get(device)
            if next_one is None:
                then[device] = before
            elif next_one.first > before.last + 1:
                is_expired = first_kept > before.at + 1
                self._note(_gap(device, before.last + 1, next_one.first - 1, now, is_expired=is_expired))

    def forget_segments(self) -> None:
        """The stream was made anew, or the link was switched off: what follows has no before."""
        self._segments.clear()
        self._suspects.clear()
        self._unfit.clear()
        self._tally.forget_segments()

    def _note(self, gap: Missing) -> None:
        self.missing = [*self.missing, gap][-MOST_MISSING:]
        self.news = [*self.news, gap][-MOST_MISSING:]
        if gap.reason == "expired":
            self.dropped += gap.last_seq - gap.first_seq + 1

    def devices(self, oldest: str | None, in_hand: dict[str, int]) -> list[DeviceDelivery]:
        """Each device; `oldest` is the oldest segment, `in_hand` the lowest number that its lane still has."""
        progress = self._segments.get(oldest, {}) if oldest is not None else {}
        suspects = self._suspects.get(oldest, []) if oldest is not None else []
        passed_over = {gap.device: gap.first_seq - 1 for _, gap in reversed(suspects)}
        for device, each in progress.items():
            done = in_hand[device] - 1 if device in in_hand else each.settled
            if oldest is not None and oldest in self._tally.holds:
                done = self._tally.holds[oldest].floor.get(device)
            if done is not None:
                self._tally.advance(device, min(done, passed_over.get(device, done)), self.missing)
        if self.thinned != self._thinned_before:
            self._thinned_before = self.thinned
            self._tally.forget_parts()
        return [self._of(device, each) for device, each in sorted(self._delivered.items())]

    def _of(self, device: str, known: _Delivered) -> DeviceDelivery:
        if self._tally.complete.get(device) == known.last_seq and not self._tally.holds:
            self._tally.is_at_rest(device)
        count, complete_to, counted = self._tally.of(device)
        return DeviceDelivery(
            device=device,
            last_seq=known.last_seq,
            last_ts=known.last_ts,
            delivered=count,
            complete_to=complete_to,
            complete_delivered=counted,
        )
