"""Time, injected: `now` for stamps, `monotonic` for intervals."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
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
    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)


def utc_of(clock: Clock, at: float) -> datetime:
    """The UTC time of a monotonic moment, by what the clock shows now."""
    return clock.now() - timedelta(seconds=clock.monotonic() - at)
