"""Up to when all that was measured has come to a sink: a period that is younger is not whole yet.

What waits on the bus comes in order, and what a service kept while the bus was away follows within seconds.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

from ccm_contracts.channels import TELEMETRY
from ccm_kit.bus import Bus
from ccm_kit.errors import BusDownError
from ccm_kit.nats_pull import ConsumerGoneError

SETTLES_S: Final = 20.0
"""After an outage of the bus: until then services are back and have passed on what they kept."""
SLACK: Final = timedelta(seconds=10)
"""How far the readings of several devices may be out of order."""


class Front(Protocol):
    """What waits for the sink; a pump is one."""

    is_arranged: bool

    async def front(self) -> int | None:
        """Up to which number of the stream the sink has all; None: nothing waits. Raises `BusDownError`."""


class Horizon:
    """`watch` is called each second or so, to see when the bus is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._front: Front | None = None
        self._away_s: float | None = None

    def of(self, front: Front) -> None:
        self._front = front

    def watch(self) -> None:
        if not self._bus.is_connected:
            self._away_s = self._bus.clock.monotonic()

    async def settled(self, moment: datetime) -> datetime | None:
        """As `reached`; None also while services may yet pass on what they kept."""
        self.watch()
        if self._away_s is not None and self._bus.clock.monotonic() - self._away_s < SETTLES_S:
            return None
        return await self.reached(moment)

    async def reached(self, moment: datetime) -> datetime | None:
        """`moment`, or an earlier one up to which all has come. None: it cannot be known now."""
        if self._front is None or not self._front.is_arranged:
            return None
        try:
            number = await self._front.front()
            if number is None:
                return moment
            # To the server, up to 0 is without an end.
            newest = await self._bus.newest_up_to(TELEMETRY, number) if number else []
        except (BusDownError, ConsumerGoneError):
            return None
        taken = [reading.ts for _, reading in newest]
        return min(moment, max(taken) - SLACK) if taken else None
