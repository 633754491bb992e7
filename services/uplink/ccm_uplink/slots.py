"""Picks the newest reading of each device per clock-aligned slot. Pure: no clock, no bus.

A slot is `floor(ts / latency)`. Its newest reading is the candidate; it is released when the device moves on to
a later slot, or once the slot has ended and nothing older waits on the bus. What it supersedes is not published.
What comes late, as after a kill of who had it in hand, is a candidate of its own beside that of the later slot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GRACE_MS: Final = 500
"""A slot stays open for so long after its end, because a reading needs a moment to cross the bus."""


LATE_MS: Final = 60_000
"""What is older than that beside the candidate comes from a clock that was set back."""
QUIET_MS: Final = 1000
"""Of a slot that ended long ago more may follow at once: it is released when nothing came for so long."""


@dataclass(frozen=True, slots=True)
class Picked(Generic[T]):
    """`released` go to the sink, oldest first; `superseded` are finished with."""

    released: tuple[T, ...] = ()
    superseded: tuple[T, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[T]):
    slot: int
    ts_ms: int
    item: T
    came_ms: int


class Slots(Generic[T]):
    """Holds at most one candidate per key, and a late one. `latency_s` 0 releases everything at once, in order."""

    def __init__(self, latency_s: int) -> None:
        self.latency_s = latency_s
        self._latency_ms = latency_s * 1000
        self._candidates: dict[str, _Candidate[T]] = {}
        self._late: dict[str, _Candidate[T]] = {}
        self._last: dict[str, int] = {}

    def offer(self, key: str, ts_ms: int, item: T, now_ms: int) -> Picked[T]:
        """Take one message of `key` in, with its stamp and the moment of its arrival."""
        if self._latency_ms == 0:
            return Picked(released=(item,))
        slot = ts_ms // self._latency_ms
        held = self._candidates.get(key)
        if held is None:
            if self._last.get(key) == slot:
                return Picked(superseded=(item,))
            self._candidates[key] = _Candidate(slot, ts_ms, item, now_ms)
            return Picked()
        if slot < held.slot and held.ts_ms - ts_ms <= LATE_MS:
            return self._offer_late(key, _Candidate(slot, ts_ms, item, now_ms))
        if held.slot == slot and ts_ms < held.ts_ms:
            return Picked(superseded=(item,))
        self._candidates[key] = _Candidate(slot, ts_ms, item, now_ms)
        if held.slot == slot:
            return Picked(superseded=(held.item,))
        self._note(key, held.slot)
        return Picked(released=(held.item,))

    def _offer_late(self, key: str, late: _Candidate[T]) -> Picked[T]:
        """Of a slot before that of the candidate."""
        if self._last.get(key) == late.slot:
            return Picked(superseded=(late.item,))
        held = self._late.get(key)
        if held is not None and held.slot == late.slot and late.ts_ms < held.ts_ms:
            return Picked(superseded=(late.item,))
        self._late[key] = late
        if held is None:
            return Picked()
        return Picked(superseded=(held.item,)) if held.slot == late.slot else Picked(released=(held.item,))

    def due(self, now_ms: int) -> tuple[T, ...]:
        """Release the candidates whose slot has ended. Ask only when nothing older waits on the bus."""
        return self._release(
            lambda held: now_ms >= max((held.slot + 1) * self._latency_ms + GRACE_MS, held.came_ms + QUIET_MS)
        )

    def flush(self) -> tuple[T, ...]:
        """Release all candidates, their slots ended or not."""
        return self._release(lambda _: True)

    def _release(self, is_due: Callable[[_Candidate[T]], bool]) -> tuple[T, ...]:
        found: list[_Candidate[T]] = []
        for candidates in (self._late, self._candidates):
            for key in [key for key, held in candidates.items() if is_due(held)]:
                held = candidates.pop(key)
                self._note(key, held.slot)
                found.append(held)
        return tuple(held.item for held in sorted(found, key=lambda held: held.ts_ms))

    def _note(self, key: str, slot: int) -> None:
        self._last[key] = max(slot, self._last.get(key, slot))
