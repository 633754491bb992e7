"""Replies that a line still owes: what may arrive late, and which requests it could be mistaken for.

Pure. RTU frames carry no number: unit, function and length are all that tells a late reply from the right one. A
request whose answer could be confused with one that is still owed has to wait, also the same read once more: its late
reply would hold values older than the request. `plan.cuts` finds reads of other lengths meanwhile.
"""

from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.drivers.modbus import Request

LATEST_REPLY_S: Final = 10.0
"""A reply that has not come by then never will; above the longest delays seen of serial servers that buffer."""


@dataclass(frozen=True, slots=True)
class Debt:
    request: Request
    since: float
    until: float


class Debts:
    """Unanswered requests of one line, each for `LATEST_REPLY_S`."""

    def __init__(self) -> None:
        self.owed: list[Debt] = []
        """Those that were not paid, also where their time has passed."""

    def owe(self, request: Request, now: float) -> None:
        """Nothing came in answer to the request that ended at `now`."""
        self._forget(now)
        self.owed.append(Debt(request, now, now + LATEST_REPLY_S))

    def pay(self, unit: int, function: int, length: int, now: float) -> float | None:
        """A frame came that nobody waits for: the age of the oldest debt that it pays, s, or None.

        An exception pays nothing: it tells no length, so nobody knows which request it answers.
        """
        self._forget(now)
        for index, debt in enumerate(self.owed):
            request = debt.request
            if (request.unit, request.function, request.reply_bytes) == (unit, function, length):
                del self.owed[index]
                return now - debt.since
        return None

    def doubtful_until(self, unit: int, function: int, now: float) -> float | None:
        """Until when an exception of this unit and function may be the late answer to another request; None: never."""
        self._forget(now)
        owed = [d.until for d in self.owed if (d.request.unit, d.request.function) == (unit, function)]
        return max(owed, default=None)

    def blocked_until(self, request: Request, now: float) -> float | None:
        """When the request may be sent: until then an owed reply could be taken for its answer. None: now."""
        self._forget(now)
        confusable = [
            debt.until
            for debt in self.owed
            if debt.request.unit == request.unit
            and debt.request.function == request.function
            and debt.request.reply_bytes == request.reply_bytes
        ]
        return max(confusable, default=None)

    def _forget(self, now: float) -> None:
        self.owed = [debt for debt in self.owed if debt.until > now]
