"""What others want of a line: commands, shared work, and the line alone. Its owner, `poller.py`, gives them turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_bus_reader.hold import Hold
from ccm_bus_reader.line import Line
from ccm_bus_reader.news import News
from ccm_bus_reader.work import Backlog, Urgency, Work, carry_out
from ccm_kit.errors import RefusedError, UnavailableError


class Guests:
    """Of one line; `wake` is set when there is something to do."""

    def __init__(self, line_id: str, line: Line, news: News, wake: asyncio.Event) -> None:
        self._id = line_id
        self._line = line
        self._news = news
        self._wake = wake
        self._backlog = Backlog(line_id)
        self._hold: Hold | None = None
        self._is_closing = False
        self.lent = 0
        """How often somebody had the line alone."""

    @property
    def is_wanted_alone(self) -> bool:
        return self._hold is not None

    @property
    def want(self) -> bool:
        """Whether anybody wants anything."""
        return bool(self._backlog.waiting) or self._hold is not None

    @property
    def are_waiting(self) -> bool:
        """Whether there is work that may be carried out now."""
        return self._backlog.has_command or self._backlog.has_shared

    def submit(self, work: Work, urgency: Urgency) -> None:
        """See `Poller.submit`."""
        self._check_free()
        self._backlog.put(work, urgency)
        self._wake.set()

    @asynccontextmanager
    async def exclusive(self, reason: str) -> AsyncIterator[Line]:
        """See `Poller.exclusive`."""
        self._check_free()
        hold = self._hold = Hold(self._id, reason)
        self._wake.set()
        try:
            async with hold.line(self._line) as line:
                yield line
        finally:
            self._hold = None
            self._wake.set()

    def _check_free(self) -> None:
        if not self._line.transport.is_open or self._is_closing:
            raise UnavailableError(f"line {self._id} is closed", code="offline")
        if self._hold is not None:
            raise self._in_use(self._hold)

    def _in_use(self, hold: Hold) -> RefusedError:
        return RefusedError(f"line {self._id} is in use by {hold.reason}", code="busy")

    async def served(self, line: Line) -> bool:
        """Commands, then one shared work, then who wants the line alone.

        True when somebody had it alone, or wants it and `line` is only a lane of it.
        """
        if self._backlog.has_command:
            await self._backlog.command(line)
        if self._hold is not None and not self._is_closing:
            if line is not self._line:
                return True
            self._backlog.fail(self._in_use(self._hold), "shared")
            return await self._lend(self._hold)
        if shared := self._backlog.take("shared"):
            await carry_out(shared, line)
        return False

    async def _lend(self, hold: Hold) -> bool:
        if not await hold.had(self._news.line):
            return False
        self.lent += 1
        if not self._line.transport.is_open:
            raise UnavailableError(f"line {self._id} was lost")
        return True

    def close(self) -> None:
        """The line is about to be closed: nothing more is taken."""
        self._is_closing = True
        if self._hold is not None:
            self._hold.end("is being closed")

    def fail(self, why: str) -> None:
        """The line is not there, as in "is closed": whoever waits for it is told."""
        if self._hold is not None:
            self._hold.end(why)
        self._backlog.fail(UnavailableError(f"line {self._id} {why}"), "command", "shared")
