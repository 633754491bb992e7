"""Registers as the polls of a line read them, for other masters. Pure: time comes in.

A register that is read regularly counts as fresh for `max_age_s`, or for 2.5 of the intervals in which it is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

INTERVALS: Final = 2.5
MOST_REGISTERS: Final = 100_000
"""Of one line: 247 units with 400 registers each. Above it nothing new is taken in, and is asked on the line."""

Key = tuple[int, int, int]
"""Unit, function, address."""


@dataclass(slots=True)
class _Kept:
    word: int
    at: float
    interval_s: float | None
    """Between its last two reads; None when it was read once."""


class Registers:
    """Of one line."""

    def __init__(self, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        self._kept: dict[Key, _Kept] = {}

    def put(self, unit: int, function: int, address: int, words: Sequence[int], at: float) -> None:
        """A poll read these."""
        for offset, word in enumerate(words):
            key = (unit, function, address + offset)
            kept = self._kept.get(key)
            if kept is not None:
                kept.interval_s = max(at - kept.at, 0.0)
                kept.word, kept.at = word, at
            elif len(self._kept) < MOST_REGISTERS:
                self._kept[key] = _Kept(word, at, None)

    def forget(self, unit: int, address: int, count: int) -> None:
        """They were written: whatever was read before is void."""
        for function in (1, 3):
            for each in range(address, address + count):
                self._kept.pop((unit, function, each), None)

    def find(
        self, unit: int, function: int, address: int, count: int, now: float
    ) -> tuple[int, ...] | Literal["stale", "unknown"]:
        """The words; `stale` where some are read regularly but not lately, `unknown` where some are not polled."""
        found: list[int] = []
        is_stale = False
        for each in range(address, address + count):
            kept = self._kept.get((unit, function, each))
            if kept is None:
                return "unknown"
            limit_s = max(self.max_age_s, INTERVALS * (kept.interval_s or 0.0))
            if now - kept.at > limit_s:
                if kept.interval_s is None:
                    return "unknown"
                is_stale = True
            found.append(kept.word)
        return "stale" if is_stale else tuple(found)
