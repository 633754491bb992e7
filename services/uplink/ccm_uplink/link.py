"""The public face of one uplink: whether its far end takes what it is given, and what waits for it (LINK_STATE)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from ccm_contracts.channels import LINK_STATE
from ccm_contracts.state import DeviceDelivery, FtpOutbox, LinkLedger, LinkState
from ccm_kit.bus import Bus
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError
from ccm_kit.nats_facts import StreamFacts
from ccm_uplink.books import HELD, THINNED, Books, Waiting, short_of
from ccm_uplink.flow import Rate
from ccm_uplink.ledger import Ledger
from ccm_uplink.meter import Meter

log = logging.getLogger(__name__)

REPORT_S: Final = 5.0
SETTLE_S: Final = 0.2
"""A change is reported at once, but changes that follow within this time are reported together."""


class Outbox(Protocol):
    """What waits for one link; a pump is one."""

    @property
    def is_arranged(self) -> bool:
        """What is measured from now on is for the link, as it was configured."""

    def pending(self) -> Awaitable[int]:
        """Messages on the bus that the sink has not acknowledged. Raises `BusDownError`."""

    def oldest(self) -> datetime | None:
        """When the oldest message in hand was stored."""

    def devices(self) -> list[DeviceDelivery]:
        """What was delivered of each device."""

    async def stream(self) -> StreamFacts:
        """The stream that it takes from. Raises `BusDownError`."""


Counts = Literal["messages", "wire", "files"]
"""What the meter counts: messages as they are acknowledged, what the sink's connections pass, or whole files."""


class LinkReport:
    """`up` and `down` are told by the sink, `delivered` by the pump; `run` publishes."""

    def __init__(self, bus: Bus, link: str, *, counts: Counts = "messages") -> None:
        """With `files` the sink itself keeps to the budget."""
        self._bus = bus
        self.counts = counts
        self.link = link
        self.enabled = False
        self.connected = False
        self.error: str | None = None
        self.delivered = 0
        self.ledger = Ledger()
        self.meter = Meter()
        self.rate = Rate()
        self._books = Books(bus, link, self.ledger, self.meter, HELD if counts == "files" else THINNED)
        self._ftp: FtpOutbox | None = None
        self._since = bus.clock.now()
        self._failures = 0
        self._changed = asyncio.Event()
        self.may_write: Callable[[], bool] = lambda: True
        """Whether state and ledger of the link are this process' to write."""
        self.when_up: list[Callable[[], None]] = []
        """Called when the far end takes messages again."""

    def use(self, *, enabled: bool) -> None:
        """A new configuration: nothing is known of its far end yet."""
        self.enabled = enabled
        self._changed.set()
        self._set(connected=False, error=None)

    def show_ftp(self, outbox: FtpOutbox) -> None:
        """What the link `ftp` has on disk and sends now."""
        if outbox != self._ftp:
            self._ftp = outbox
            self._changed.set()

    def handed(self, payload_bytes: int, messages: int, *, is_live: bool) -> None:
        """So many messages were delivered."""
        now = self._bus.clock.now()
        if self.counts == "wire":
            self.meter.handed(payload_bytes, now, is_live=is_live)
        elif self.counts == "messages":
            self.meter.sent(payload_bytes, now, is_live=is_live, messages=messages)

    def passed(self, size: int) -> None:
        """So many bytes went over the wire, there or back."""
        self.meter.passed(size, self._bus.clock.now())
        self.rate.charge(size, self._bus.clock.monotonic())

    def is_used_up(self) -> bool:
        """The day's budget."""
        return self.meter.is_exhausted(self._bus.clock.now())

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
        waiting = Waiting()
        try:
            while True:
                self._changed.clear()
                try:
                    waiting = await self._books.waiting(outboxes)
                except BusDownError as err:
                    log.debug("cannot ask what waits", extra={"link": self.link, "error": str(err)})
                stop_if_cancelled()
                if self.may_write():
                    self._publish(waiting, is_ready=all(outbox.is_arranged for outbox in outboxes))
                    self._books.write(self.devices(*outboxes))
                await asyncio.sleep(SETTLE_S)
                await _first_of(self._changed.wait, REPORT_S - SETTLE_S)
        finally:
            if self.may_write():
                self._books.write(self.devices(*outboxes))

    @staticmethod
    def devices(*outboxes: Outbox) -> list[DeviceDelivery]:
        return [device for outbox in outboxes for device in outbox.devices()]

    @property
    def book(self) -> LinkLedger | None:
        """The ledger as it was written last, at most 5 s ago."""
        return self._books.newest

    def facts(self) -> dict[str, Any]:
        """The ledger for a status message, in short: a receiver can name each number that it lacks."""
        return {"delivery": short_of(self.book)} if self.book is not None else {}

    async def restore(self) -> None:
        """Go on with the ledger of the process before; waits for the bus."""
        await self._books.restore()

    def is_changed(self) -> None:
        """State and ledger are worth a look before their time: an outbox is arranged, a device is new."""
        self._changed.set()

    def _publish(self, waiting: Waiting, *, is_ready: bool) -> None:
        state = LinkState(
            link=self.link,
            enabled=self.enabled,
            connected=self.connected and is_ready,
            since=self._since,
            error=self.error,
            delivered=self.delivered,
            pending=waiting.pending,
            oldest_s=waiting.oldest_s,
            hours_left=waiting.hours_left,
            bytes_today=self.meter.bytes_today,
            budget_left=self.meter.left(self._bus.clock.now()),
            dropped=self.ledger.dropped,
            ftp=self._ftp,
        )
        self._bus.state(LINK_STATE, state, id=self.link)


async def _first_of(event: Callable[[], Awaitable[object]], wait_s: float) -> None:
    """Wait for `event`, but not longer than `wait_s`."""
    try:
        async with asyncio.timeout(wait_s):
            await event()
    except TimeoutError:
        return
