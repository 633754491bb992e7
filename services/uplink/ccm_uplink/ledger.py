"""What one link delivered of each device, and what it could not, by sequence number. Pure.

Fed by the lanes: `saw` for each reading that came from the bus, `settled` for each that is done with.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from ccm_contracts.state import DeviceDelivery, LinkLedger, Missing

MOST_DEVICES: Final = 300
"""Beyond it the device that was silent for longest is forgotten."""
MOST_MISSING: Final = 100
"""Newest ranges kept; `dropped` counts all of them."""


@dataclass(slots=True)
class _Progress:
    """One segment's way through one device: first and last number that it saw, the last it is done with."""

    first: int
    last: int
    at: int
    """The stream's sequence of `last`."""
    settled: int | None = None
    held_at: int | None = None
    """What was settled when it was held; with `is_held`, what a killed process had in hand is to come again."""
    is_held: bool = False


@dataclass(slots=True)
class _Delivered:
    last_seq: int
    last_ts: datetime
    count: int = 0


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
    _complete: dict[str, int] = field(default_factory=dict)
    _segments: dict[str, dict[str, _Progress]] = field(default_factory=dict)

    def restore(self, stored: LinkLedger) -> None:
        """Go on from what was written before this process began."""
        self._delivered = {
            each.device: _Delivered(each.last_seq, each.last_ts, each.delivered) for each in stored.devices
        }
        self._complete = {
            each.device: each.complete_to for each in stored.devices if each.complete_to is not None
        }
        self.missing = list(stored.missing)
        self.dropped, self.thinned, self.refused = stored.dropped, stored.thinned, stored.refused

    def begins(
        self,
        segment: str,
        settled: Iterable[tuple[str, int, int]],
        handed_out: Iterable[tuple[str, int, int]] = (),
    ) -> None:
        """A lane starts; `settled` is (device, seq, stream's sequence) of what was done with before, `handed_out` the
        newest that a killed process had: it comes again, after newer ones, until `nothing_is_out`.
        """
        progress = self._segments.setdefault(segment, {})
        fresh = [each for each in settled if each[0] not in progress]
        progress.update({device: _Progress(seq, seq, at, settled=seq) for device, seq, at in fresh})
        for device, seq, at in handed_out:
            before = progress.setdefault(device, _Progress(seq, seq, at, is_held=True))
            if at > before.at:
                before.last, before.at, before.is_held, before.held_at = seq, at, True, before.settled

    def nothing_is_out(self, segment: str) -> None:
        """All that a killed process had in hand has come again and is done with."""
        for each in self._segments.get(segment, {}).values():
            each.is_held = False

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
        if seq > before.last + 1 and at > before.at:
            self._note(device, before.last + 1, seq - 1, before.at, now, first_kept)
        if at > before.at:
            before.last, before.at = seq, at

    def settled(self, segment: str, device: str, seq: int) -> None:
        """It was delivered, or is not to be."""
        progress = self._segments.get(segment, {}).get(device)
        if progress is not None:
            progress.settled = max(seq, progress.settled if progress.settled is not None else seq)

    def was_delivered(self, device: str, seq: int, ts: datetime) -> None:
        self.is_known_to_have(device, seq, ts)
        self._delivered[device].count += 1

    def is_known_to_have(self, device: str, seq: int, ts: datetime) -> None:
        """It was delivered, perhaps before this process began."""
        known = self._delivered.pop(device, None) or _Delivered(seq, ts)
        if seq > known.last_seq or ts > known.last_ts:
            known.last_seq, known.last_ts = seq, ts
        self._delivered[device] = known
        if len(self._delivered) > MOST_DEVICES:
            del self._delivered[next(iter(self._delivered))]

    def ends(self, segment: str, following: str | None, now: datetime, first_kept: int) -> None:
        """A segment is delivered to its end, and `following` is the oldest now."""
        ended = self._segments.pop(segment, {})
        then = self._segments.setdefault(following, {}) if following is not None else {}
        for device, before in ended.items():
            self._complete[device] = before.last
            next_one = then.get(device)
            if next_one is None:
                then[device] = before
            elif next_one.first > before.last + 1:
                self._note(device, before.last + 1, next_one.first - 1, before.at, now, first_kept)

    def forget_segments(self) -> None:
        """The stream was made anew, or the link was switched off: what follows has no before."""
        self._segments.clear()

    def _note(self, device: str, first: int, last: int, after: int, now: datetime, first_kept: int) -> None:
        reason: Literal["expired", "never-stored"] = "expired" if first_kept > after + 1 else "never-stored"
        found = Missing(device=device, first_seq=first, last_seq=last, reason=reason, noticed=now)
        self.missing = [*self.missing, found][-MOST_MISSING:]
        self.news = [*self.news, found][-MOST_MISSING:]
        if reason == "expired":
            self.dropped += last - first + 1

    def devices(self, oldest: str | None, in_hand: dict[str, int]) -> list[DeviceDelivery]:
        """Each device; `oldest` is the oldest segment, `in_hand` the lowest number that its lane still has."""
        progress = self._segments.get(oldest, {}) if oldest is not None else {}
        for device, each in progress.items():
            done = in_hand[device] - 1 if device in in_hand else each.settled
            if each.is_held:
                done = each.held_at
            if done is not None:
                self._complete[device] = done
        return [
            DeviceDelivery(
                device=device,
                last_seq=each.last_seq,
                last_ts=each.last_ts,
                delivered=each.count,
                complete_to=self._complete.get(device),
            )
            for device, each in sorted(self._delivered.items())
        ]
