"""Work that others want done on a line, and the queues in which it waits for its turn.

Whoever has something to ask a line hands the owner (`poller.py`) a `Work`; nobody else sends. Two urgencies:

- `command`: before everything else, at the end of the transaction on the wire. For writes that somebody waits for.
- `shared`: another master's requests (pass-through). Served in turn with polls, one work then one read, so that
  neither starves the other; commands go before both.

Each queue is bounded; work beyond the bound is refused as `busy`. For many transactions in a row, or at another baud
rate, there is `Poller.exclusive` instead.
"""

import logging
from collections import deque
from typing import Final, Literal, Protocol

from ccm_bus_reader.line import Line
from ccm_kit.errors import CcmError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

Urgency = Literal["command", "shared"]

MOST_WAITING: Final[dict[Urgency, int]] = {"command": 32, "shared": 32}
"""Works that wait for one line."""


class Work(Protocol):
    """Something to do on a line: a few transactions, then an end."""

    async def run(self, line: Line) -> None:
        """Carry it out with `line.exchange`. Raises nothing but `CancelledError`; failures go to who waits for it."""

    def fail(self, err: CcmError) -> None:
        """It will not be carried out, or nobody can tell whether it was."""


class Backlog:
    """The works of one line that wait."""

    def __init__(self, line_id: str) -> None:
        self._line_id = line_id
        self._queues: dict[Urgency, deque[Work]] = {"command": deque(), "shared": deque()}
        self.waiting = 0
        """How many works wait."""
        self._is_commanding = False

    def put(self, work: Work, urgency: Urgency) -> None:
        """Raises `RefusedError` (`busy`) when enough works wait already."""
        queue = self._queues[urgency]
        if len(queue) >= MOST_WAITING[urgency]:
            what = "commands" if urgency == "command" else "requests of other masters"
            raise RefusedError(f"line {self._line_id} has {len(queue)} {what} waiting already", code="busy")
        queue.append(work)
        self.waiting += 1

    def take(self, urgency: Urgency) -> Work | None:
        """The one that waits longest."""
        queue = self._queues[urgency]
        if not queue:
            return None
        self.waiting -= 1
        return queue.popleft()

    @property
    def has_command(self) -> bool:
        """Whether one waits that may be carried out now."""
        return bool(self._queues["command"]) and not self._is_commanding

    @property
    def has_shared(self) -> bool:
        """Whether another master's request waits."""
        return bool(self._queues["shared"])

    async def command(self, line: Line) -> None:
        """Carry out all commands, one at a time in their order, also where there are several lanes."""
        self._is_commanding = True
        try:
            while command := self.take("command"):
                await carry_out(command, line)
        finally:
            self._is_commanding = False

    def fail(self, err: CcmError, *urgencies: Urgency) -> None:
        """End these queues' works."""
        for urgency in urgencies:
            while work := self.take(urgency):
                work.fail(err)


async def carry_out(work: Work, line: Line) -> None:
    """Run it; a work that breaks its word does not end the line."""
    try:
        await work.run(line)
    except CcmError as err:
        work.fail(err)
    except Exception as err:  # border: work comes from other modules
        log.exception("work failed")
        work.fail(UnavailableError(f"internal error: {err!r}"))
