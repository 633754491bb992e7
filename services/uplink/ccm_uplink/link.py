"""The public face of one uplink: whether its far end takes what it is given, and what waits for it (LINK_STATE)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol

from ccm_contracts.channels import LINK_STATE
from ccm_contracts.state import LinkState
from ccm_kit.bus import Bus
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError

log = logging.getLogger(__name__)

REPORT_S: Final = 5.0
SETTLE_S: Final = 0.2
"""A change is reported at once, but changes that follow within this time are reported together."""


class Outbox(Protocol):
    """What waits for one link; a pump is one."""

    def pending(self) -> Awaitable[int]:
        """Messages on the bus that the sink has not acknowledged. Raises `BusDownError`."""

    def oldest(self) -> datetime | None:
        """The stamp of the oldest message in hand."""


class LinkReport:
    """`up` and `down` are told by the sink, `delivered` by the pump; `run` publishes."""

    def __init__(self, bus: Bus, link: str) -> None:
        self._bus = bus
        self.link = link
        self.enabled = False
        self.connected = False
        self.error: str | None = None
        self.delivered = 0
        self._since = bus.clock.now()
        self._failures = 0
        self._changed = asyncio.Event()
        self.when_up: list[Callable[[], None]] = []
        """Called when the far end takes messages again."""

    def use(self, *, enabled: bool) -> None:
        """A new configuration: nothing is known of its far end yet."""
        self.enabled = enabled
        self._changed.set()
        self._set(connected=False, error=None)

    def up(self) -> None:
        """The far end takes messages."""
        if self._failures:
            log.info("link is back", extra={"link": self.link, "failures": self._failures})
        elif not self.connected:
            log.info("link is up", extra={"link": self.link})
        self._failures = 0
        is_news = not self.connected
        self._set(connected=True, error=None)
        if is_news:
            for tell in self.when_up:
                tell()

    def down(self, error: str) -> None:
        """The far end is out of reach or refuses; `error` is for the operator and holds no secret."""
        self._failures += 1
        if error != self.error:
            log.warning("link is down", extra={"link": self.link, "error": error})
        self._set(connected=False, error=error)

    def _set(self, *, connected: bool, error: str | None) -> None:
        if connected != self.connected:
            self._since = self._bus.clock.now()
        if (connected, error) != (self.connected, self.error):
            self._changed.set()
        self.connected, self.error = connected, error

    async def run(self, *outboxes: Outbox) -> None:
        """Publish the state every 5 s and on change, for ever."""
        pending = 0
        while True:
            self._changed.clear()
            try:
                pending = sum([await outbox.pending() for outbox in outboxes])
            except BusDownError as err:
                log.debug("cannot ask what waits", extra={"link": self.link, "error": str(err)})
            stop_if_cancelled()
            self._publish(pending, [outbox.oldest() for outbox in outboxes])
            await asyncio.sleep(SETTLE_S)
            await _first_of(self._changed.wait, REPORT_S - SETTLE_S)

    def _publish(self, pending: int, stamps: list[datetime | None]) -> None:
        now = self._bus.clock.now()
        ages = [max(0.0, (now - stamp).total_seconds()) for stamp in stamps if stamp is not None]
        state = LinkState(
            link=self.link,
            enabled=self.enabled,
            connected=self.connected,
            since=self._since,
            error=self.error,
            delivered=self.delivered,
            pending=pending,
            oldest_s=round(max(ages), 3) if ages else None,
        )
        self._bus.state(LINK_STATE, state, id=self.link)


async def _first_of(event: Callable[[], Awaitable[object]], wait_s: float) -> None:
    """Wait for `event`, but not longer than `wait_s`."""
    try:
        async with asyncio.timeout(wait_s):
            await event()
    except TimeoutError:
        return
