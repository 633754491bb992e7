"""Time, injected: `now` for stamps, `monotonic` for intervals."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The moment, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never step; the beginning is arbitrary."""

    def nap(self, seconds: float) -> None:
        """Block this thread: for waits so short that the event loop's timers are too coarse."""
        time.sleep(seconds)


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
