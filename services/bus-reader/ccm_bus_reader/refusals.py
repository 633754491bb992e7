"""What one device refuses: left out of its plans, and asked for again after a while. Pure: time comes in, s."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

ASK_AGAIN_FIRST_S: Final = 60.0
ASK_AGAIN_SLOWEST_S: Final = 3600.0
"""What a device refused is asked for again after 1, 2, 4... min, then once an hour: it may only have been starting, or
asleep. A point that it truly lacks costs the line a few frames an hour. Each thing has a time of its own: what is
refused for ever does not delay what is refused for a moment."""
TOGETHER_S: Final = 10.0
"""What would be asked for again so soon after something else is asked for with it."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """At a moment, when it was asked for `wait_s` before; asked again at `until`."""

    wait_s: float
    until: float


@dataclass(frozen=True, slots=True)
class Lacks:
    """What a device was known to refuse: metrics, and addresses at which a read begins anew."""

    absent: frozenset[str]
    barriers: frozenset[int]


_Key = str | int | None
"""A metric, an address at which a read must begin anew, or None: something that is read only once."""


class Refusals:
    """Metrics that it does not have, and addresses at which a read must begin anew."""

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.barriers: set[int] = set()
        self._refused: dict[_Key, _Refusal] = {}
        self._asked: dict[_Key, _Refusal] = {}
        """What was refused before it was asked for again."""
        self.untold: dict[int, list[str]] = {}
        """By exception, the metrics that it refused since the last whole round."""
        self.is_all = False
        """Whether it refused everything when it was asked for all of it; then each probe asks for another point."""
        self._turn = 0

    def add(self, now: float, *, barrier: int | None = None, absent: Collection[str] = ()) -> list[str]:
        """It refused; returns the metrics that it newly does not have."""
        news = [metric for metric in absent if self._is_new(metric, now)]
        keys: list[_Key] = [*absent] if barrier is None else [*absent, barrier]
        for key in keys or [None]:
            self._note(key, now)
        self.absent.update(absent)
        if barrier is not None:
            self.barriers.add(barrier)
        return news

    @property
    def lacks(self) -> Lacks:
        """What is refused now."""
        return Lacks(frozenset(self.absent), frozenset(self.barriers))

    def turn(self, count: int) -> int:
        """Which of so many points is asked for next."""
        self._turn = (self._turn + 1) % count
        return self._turn

    def recall(self, lacks: Lacks, now: float) -> None:
        """It refused these before this process began: not told again, and asked for again as ever."""
        keys: list[_Key] = [*lacks.absent, *lacks.barriers]
        for key in keys:
            self._refused[key] = _Refusal(ASK_AGAIN_FIRST_S, now + ASK_AGAIN_FIRST_S)
        self.absent |= lacks.absent
        self.barriers |= lacks.barriers

    def _is_new(self, key: _Key, now: float) -> bool:
        """Whether it was given, or never asked for, since it was refused before."""
        before = self._asked.get(key)
        return before is None or now - before.until > ASK_AGAIN_FIRST_S

    def _note(self, key: _Key, now: float) -> None:
        if key in self._refused:
            return
        wait_s = ASK_AGAIN_FIRST_S
        if not self._is_new(key, now):
            wait_s = min(ASK_AGAIN_SLOWEST_S, 2 * self._asked[key].wait_s)
        self._refused[key] = _Refusal(wait_s, now + wait_s)

    def ask_again(self, now: float) -> bool:
        """Whether it is time to ask for something that it refused; then that does not count as refused."""
        if not any(each.until <= now for each in self._refused.values()):
            return False
        for key, each in list(self._refused.items()):
            if each.until <= now + TOGETHER_S:
                self._asked[key] = _Refusal(each.wait_s, now)
                del self._refused[key]
                self.absent.discard(key)
                self.barriers.discard(key)
        return True

    def forget(self) -> None:
        """The device was away: it may be another one now."""
        self.absent.clear()
        self.barriers.clear()
        self._refused.clear()
        self._asked.clear()
        self.untold.clear()
