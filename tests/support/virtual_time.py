"""An event loop whose time passes only when nobody has anything to do: a day of timers in the time that work takes.

`time()` jumps to the next timer when no callback is ready. There are no file descriptors in it; what is sent to an
executor is done at once, in no time. A real file or socket would wait for ever.
"""

import asyncio
import errno
import os
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from ccm_kit.clock import Clock
from tests.support.memory_host import Host, HostLink

T = TypeVar("T")

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
TICK_S: Final = 1e-9
"""Time passes at least so far with each jump, or the rounding of a sum could leave it for ever before a timer."""
MOST_TURNS: Final = 1_000_000
"""Turns of the loop in which no time passes: more are an endless loop."""


class StandsStillError(RuntimeError):
    """Nothing will ever happen again, or time cannot pass any more."""


class _Jumping(selectors.DefaultSelector):
    """Waits by moving the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandsStillError("no timer and nothing to do: everybody waits for ever")
        if timeout > 0:
            self.now += timeout + TICK_S
            self.turns = 0
            return []
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise StandsStillError(f"{MOST_TURNS} turns of the loop at {self.now:.6f} s")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._time = _Jumping()
        super().__init__(self._time)
        self.hosts: dict[tuple[str, int], Host] = {}
        """The network that it has, by host and port."""
        self._clock_resolution = TICK_S / 2

    def time(self) -> float:
        return self._time.now

    def end(self) -> None:
        """Cancel what is left, and wait for its end."""
        self._time.turns = 0
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        self.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def pass_by(self, seconds: float) -> None:
        """Nobody was served for so long."""
        self._time.now += seconds + TICK_S

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[HostLink, asyncio.Protocol]:
        found, protocol = self.hosts.get((host, port)), protocol_factory()
        if found is None:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return await found.connect(protocol), protocol

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as err:  # noqa: BLE001 - goes to who waits, as from a thread
            done.set_exception(err)
        return done


class VirtualClock(Clock):
    """Of that loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    def nap(self, seconds: float) -> None:
        self._loop.pass_by(seconds)


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Its result; what it started must have ended."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        try:
            loop.end()
        finally:
            asyncio.set_event_loop(None)
            loop.close()
