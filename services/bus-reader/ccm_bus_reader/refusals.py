"""What one device refuses: left out of its plans, and asked for again after a while. Pure: time comes in, s."""

from collections.abc import Collection
from typing import Final

ASK_AGAIN_FIRST_S: Final = 60.0
ASK_AGAIN_SLOWEST_S: Final = 3600.0
"""What a device refused is asked for again after 1, 2, 4... min, then once an hour: it may only have been starting, or
asleep. A point that it truly lacks costs the line a few frames an hour."""


class Refusals:
    """Metrics that it does not have, and addresses at which a read must begin anew."""

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.barriers: set[int] = set()
        self._was_absent: set[str] = set()
        """As it was told before it was asked again."""
        self._wait_s = ASK_AGAIN_FIRST_S
        self._ask_again_at: float | None = None
        self._asked_again_at = float("-inf")

    def add(self, now: float, *, barrier: int | None = None, absent: Collection[str] = ()) -> list[str]:
        """It refused; returns the metrics that it newly does not have."""
        self._plan_to_ask_again(now)
        if barrier is not None:
            self.barriers.add(barrier)
        self.absent.update(absent)
        return [metric for metric in absent if metric not in self._was_absent]

    def _plan_to_ask_again(self, now: float) -> None:
        if self._ask_again_at is not None:
            return
        if now - self._asked_again_at > ASK_AGAIN_FIRST_S:  # when it was asked again, it gave all
            self._wait_s = ASK_AGAIN_FIRST_S
            self._was_absent.clear()
        self._ask_again_at = now + self._wait_s
        self._wait_s = min(ASK_AGAIN_SLOWEST_S, 2 * self._wait_s)

    def ask_again(self, now: float) -> bool:
        """Whether it is time to ask for what it refused; then nothing counts as refused."""
        if self._ask_again_at is None or now < self._ask_again_at:
            return False
        self._ask_again_at, self._asked_again_at = None, now
        self._was_absent = set(self.absent)
        self.absent.clear()
        self.barriers.clear()
        return True

    def forget(self) -> None:
        """The device was away: it may be another one now."""
        self.absent.clear()
        self.barriers.clear()
        self._was_absent.clear()
        self._wait_s, self._ask_again_at = ASK_AGAIN_FIRST_S, None
