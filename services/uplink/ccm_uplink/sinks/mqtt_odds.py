"""A broker that has other handshakes of QoS 2 open than we have: what becomes of its session. Pure.

A broker that was killed goes on with an older state. Handshakes that are over count against its window for ever, and it
hangs up when ours exceeds what is left. What is under way is finished first, on as many connections as that takes: sent
anew it may come twice. Then the session begins anew.
"""

from collections.abc import Collection
from typing import Final

QUOTA: Final = 0x97
AT_ODDS: Final = frozenset({0x82, 0x93, QUOTA})
"""Protocol error, receive maximum, quota: a broker that ends a connection so has other handshakes open than we have."""
FRUITLESS_MOST: Final = 10
"""After so many connections without a confirmation what was under way is sent anew: it may arrive twice."""


class Odds:
    """Of one session, over its connections."""

    def __init__(self) -> None:
        self._fruitless = 0
        """Connections in a row that ended before anything was accepted."""
        self.is_finishing = False
        """What is under way is finished, and nothing else is sent."""

    def is_over(self, reasons: Collection[int], *, in_flight: int, accepted: bool) -> bool:
        """Whether the session is to begin anew, after a connection that ended for these reasons."""
        self._fruitless = 0 if accepted else self._fruitless + 1
        is_at_odds = self.is_finishing or not AT_ODDS.isdisjoint(reasons)
        is_stuck = bool(in_flight) and self._fruitless >= FRUITLESS_MOST
        if is_stuck or (is_at_odds and not (in_flight and accepted)):
            self._fruitless, self.is_finishing = 0, False
            return True
        self.is_finishing = is_at_odds
        return False
