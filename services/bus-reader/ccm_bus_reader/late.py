"""Replies that a line still owes: what may arrive late, and which requests it could be mistaken for.

Pure. RTU frames carry no number: unit, function and length are all that tells a late reply from the right one. A
request whose answer could be confused with one that is still owed has to wait.
"""

from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.drivers.modbus import EXCEPTION_FRAME, Request

LATEST_REPLY_S: Final = 10.0
"""A reply that has not come by then never will; above the longest delays seen of serial servers that buffer."""


@dataclass(frozen=True, slots=True)
class _Debt:
    request: Request
    since: float
    until: float


class Debts:
    """Unanswered requests of one line, each for `LATEST_REPLY_S`."""

    def __init__(self) -> None:
        self._owed: list[_Debt] = []

    def owe(self, request: Request, now: float) -> None:
        """Nothing came in answer to the request that ended at `now`."""
        self._forget(now)
        self._owed.append(_Debt(request, now, now + LATEST_REPLY_S))

    def pay(self, unit: int, function: int, length: int, now: float) -> float | None:
        """A frame came that nobody waits for: the age of the oldest debt that it pays, s, or None.

        An exception pays any debt of its unit and function.
        """
        self._forget(now)
        for index, debt in enumerate(self._owed):
            request = debt.request
            is_same = (request.unit, request.function) == (unit, function)
            if is_same and length in (request.reply_bytes, EXCEPTION_FRAME):
                del self._owed[index]
                return now - debt.since
        return None

    def blocked_until(self, request: Request, now: float) -> float | None:
        """When the request may be sent: until then an owed reply could be taken for its answer.

        None: now. The same read again is no danger; its late reply holds the same registers.
        """
        self._forget(now)
        confusable = [
            debt.until
            for debt in self._owed
            if debt.request != request
            and debt.request.unit == request.unit
            and debt.request.function == request.function
            and debt.request.reply_bytes == request.reply_bytes
        ]
        return max(confusable, default=None)

    def _forget(self, now: float) -> None:
        self._owed = [debt for debt in self._owed if debt.until > now]
