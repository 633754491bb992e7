"""Picks the newest reading of each device per clock-aligned slot. Pure: no clock, no bus.

A slot is `floor(ts / latency)`. Its newest reading is the candidate; it is released when the device moves on to
another slot, or once the slot has ended and nothing older waits on the bus. What it supersedes is not published.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GRACE_MS: Final = 500
"""A slot stays open for so long after its end, because a reading needs a moment to cross the bus."""


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
    """Holds at most one candidate per key. `latency_s` 0 releases everything at once, in order."""

    def __init__(self, latency_s: int) -> None:
        self.latency_s = latency_s
        self._latency_ms = latency_s * 1000
        self._candidates: dict[str, _Candidate[T]] = {}
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
        if held.slot == slot and ts_ms < held.ts_ms:
            return Picked(superseded=(item,))
        self._candidates[key] = _Candidate(slot, ts_ms, item, now_ms)
        if held.slot == slot:
            return Picked(superseded=(held.item,))
        self._last[key] = held.slot
        return Picked(released=(held.item,))

    def due(self, now_ms: int) -> tuple[T, ...]:
        """Release the candidates whose slot has ended. Ask only when nothing older waits on the bus."""
        ended = (
            key
            for key, held in self._candidates.items()
            if now_ms >= max((held.slot + 1) * self._latency_ms + GRACE_MS, held.came_ms + QUIET_MS)
        )
        return self._release(list(ended))

    def flush(self) -> tuple[T, ...]:
        """Release all candidates, their slots ended or not."""
        return self._release(list(self._candidates))

    def _release(self, keys: Iterable[str]) -> tuple[T, ...]:
        found = sorted(((key, self._candidates.pop(key)) for key in keys), key=lambda pair: pair[1].ts_ms)
        self._last.update((key, held.slot) for key, held in found)
        return tuple(held.item for _, held in found)
