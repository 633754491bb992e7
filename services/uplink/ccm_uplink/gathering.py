"""Holds messages until enough of them are there to travel in one. Pure."""

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Gathering(Generic[T]):
    """Holds fewer than `most` of what was added last, for `wait_s` at most; in order."""

    def __init__(self) -> None:
        self._held: list[T] = []
        self._since_s = 0.0

    def add(self, items: Iterable[T], now_s: float, *, wait_s: float, most: int) -> list[T]:
        """What is due at the monotonic second `now_s`: whole lots of `most`, or all once the oldest waited."""
        if not self._held:
            self._since_s = now_s
        self._held += items
        if now_s - self._since_s >= wait_s:
            return self.all()
        whole = len(self._held) // most * most
        if whole:
            self._since_s = now_s
        due, self._held = self._held[:whole], self._held[whole:]
        return due

    def all(self) -> list[T]:
        """All of it, due or not."""
        due, self._held = self._held, []
        return due
