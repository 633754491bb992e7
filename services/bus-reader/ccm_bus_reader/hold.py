"""A line for one holder alone: polling pauses, commands are refused, until the holder is done or its time is up.

For a scan or a synchronisation, which send many frames at rates of their own. The line's owner (`poller.py`) grants it
between two transactions and waits for its end; whatever becomes of the holder, the line goes on afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from ccm_bus_reader.line import Line
from ccm_kit.errors import UnavailableError

LONGEST_S: Final = 1800.0
"""A holder that is not done by then is stopped. Who needs longer takes the line several times."""
TICK_S: Final = 1.0


class Hold:
    """One holder's turn, from the moment that it asks."""

    def __init__(self, line_id: str, reason: str) -> None:
        self.reason = reason
        self._line_id = line_id
        self._granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._released = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._why = f"{reason} took longer than {LONGEST_S:g} s"

    @asynccontextmanager
    async def line(self, line: Line) -> AsyncIterator[Line]:
        """The line once it is granted. Raises `UnavailableError` when it is lost before, or taken away."""
        limit = asyncio.timeout(LONGEST_S)
        try:
            async with limit:
                self._limit = limit
                await self._granted
                try:
                    yield line
                finally:
                    await line.restore()
        except TimeoutError as err:
            if not limit.expired():
                raise
            raise UnavailableError(f"line {self._line_id}: {self._why}", code="timeout") from err
        finally:
            self._released.set()

    def end(self, why: str) -> None:
        """Refuse it, or stop the holder; it is released soon after."""
        self._why = why
        if not self._granted.done():
            self._granted.set_exception(UnavailableError(f"line {self._line_id} {why}", code="offline"))
            self._granted.exception()  # read: a holder that has gone meanwhile needs no warning
        elif self._limit is not None and not self._released.is_set() and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def had(self, tick: Callable[[], None]) -> bool:
        """Grant it and wait for its end, with a tick each second; false when nobody wants it any more."""
        if self._granted.done() or self._released.is_set():
            return False
        self._granted.set_result(None)
        while not self._released.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._released.wait()
            tick()
        return True
