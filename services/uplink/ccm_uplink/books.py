"""Keeps one link's ledger and meter on the bus, works out what waits, and tells the operator what was dropped."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from ccm_contracts.channels import LEDGER_STATE
from ccm_contracts.state import DeviceDelivery, LinkLedger
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus
from ccm_kit.errors import BusDownError
from ccm_kit.nats_facts import StreamFacts
from ccm_uplink.ledger import Ledger
from ccm_uplink.meter import EXHAUSTED_LATENCY_S, Meter
from ccm_uplink.outlook import Forecast

THINNED: Final = (
    f"until midnight the newest reading of each device is sent every {EXHAUSTED_LATENCY_S // 60} minutes,"
    " and no backlog"
)
HELD: Final = "until midnight nothing more is sent; files wait on the gateway's disk"
"""What follows when the day's budget is used up."""
NAMED: Final = 20
"""Ranges that one event names; the ledger has more."""


class Source(Protocol):
    """What waits for one link on one stream; see `link.Outbox`."""

    def pending(self) -> Awaitable[int]:
        """Messages that the sink has not acknowledged."""

    def oldest(self) -> datetime | None:
        """When the oldest message in hand was stored."""

    async def stream(self) -> StreamFacts:
        """The stream that it takes from."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of all streams of a link together; `hours_left` is the shortest."""

    pending: int = 0
    oldest_s: float | None = None
    hours_left: float | None = None


def short_of(book: LinkLedger) -> dict[str, Any]:
    """A ledger for a message that is sent each minute: the newest 20 ranges, numbers only."""
    return {
        "devices": {
            each.device: {"last_seq": each.last_seq, "complete_to": each.complete_to} for each in book.devices
        },
        "missing": [
            [each.device, each.first_seq, each.last_seq, each.reason] for each in book.missing[-NAMED:]
        ],
        "dropped": book.dropped,
        "thinned": book.thinned,
    }


class Books:
    """`waiting` and `write` are called every 5 s."""

    def __init__(self, bus: Bus, link: str, ledger: Ledger, meter: Meter, when_exhausted: str) -> None:
        self._bus = bus
        self._link = link
        self._ledger = ledger
        self._meter = meter
        self._when_exhausted = when_exhausted
        self._forecasts: dict[int, Forecast] = {}
        self._written: LinkLedger | None = None
        self._was_exhausted = False

    async def restore(self) -> None:
        """Read what the process before wrote; waits for the bus."""
        backoff = Backoff()
        while True:
            try:
                stored = await self._bus.last(LEDGER_STATE, id=self._link)
                break
            except BusDownError:
                await asyncio.sleep(backoff.next())
        self._written = None
        self._ledger.forget_segments()
        if stored is not None:
            self._ledger.restore(stored)
            self._meter.restore(stored.day, stored.bytes_today)

    async def waiting(self, sources: Sequence[Source]) -> Waiting:
        """Raises `BusDownError`."""
        pending, ages, hours = 0, [], []
        for number, source in enumerate(sources):
            facts, own = await source.stream(), await source.pending()
            oldest, now = source.oldest(), self._bus.clock.now()
            age_s = max(0.0, (now - oldest).total_seconds()) if oldest is not None else None
            forecast = self._forecasts.setdefault(number, Forecast())
            forecast.sample(facts, self._bus.clock.monotonic())
            outlook = forecast.outlook(facts, own, age_s)
            pending += own
            if age_s is not None:
                ages.append(round(age_s, 3))
            if outlook.hours_left is not None:
                hours.append(round(outlook.hours_left, 2))
            if forecast.is_to_be_warned(outlook):
                self._warn(own, outlook.filled, outlook.hours_left)
        return Waiting(pending, max(ages, default=None), min(hours, default=None))

    def write(self, devices: list[DeviceDelivery]) -> None:
        """Put the ledger on the bus when it has changed, and tell what is new."""
        ledger, meter = self._ledger, self._meter
        now = self._bus.clock.now()
        book = LinkLedger(
            link=self._link,
            ts=now,
            devices=devices,
            missing=ledger.missing,
            dropped=ledger.dropped,
            thinned=ledger.thinned,
            refused=ledger.refused,
            day=meter.day,
            bytes_today=meter.bytes_today,
        )
        if self._written is None or book.model_copy(update={"ts": self._written.ts}) != self._written:
            self._bus.state(LEDGER_STATE, book, id=self._link)
            self._written = book
        self._tell_missing()
        self._tell_budget(now)

    @property
    def newest(self) -> LinkLedger | None:
        """As it was written last."""
        return self._written

    def _tell_missing(self) -> None:
        news, self._ledger.news = self._ledger.news, []
        for reason, text in (
            ("expired", "were dropped before they could be delivered: the stream was full"),
            ("never-stored", "never came to the stream: the events of bus-reader say why"),
            ("refused", "cannot be delivered: an event `rejected` says why"),
        ):
            ranges = [each for each in news if each.reason == reason]
            if not ranges:
                continue
            count = sum(each.last_seq - each.first_seq + 1 for each in ranges)
            first = ranges[0]
            self._bus.event(
                "dropped" if reason == "expired" else "missing",
                "error",
                f"{self._link}: {count} readings {text}"
                f" (first {first.device} {first.first_seq} to {first.last_seq})",
                link=self._link,
                ranges=[[each.device, each.first_seq, each.last_seq] for each in ranges[:NAMED]],
                count=count,
            )

    def _tell_budget(self, now: datetime) -> None:
        is_exhausted = self._meter.is_exhausted(now)
        if is_exhausted and not self._was_exhausted:
            self._bus.event(
                "budget-used-up",
                "warning",
                f"{self._link}: the day's {self._meter.budget_bytes} bytes are used up; {self._when_exhausted}",
                link=self._link,
                bytes_today=self._meter.bytes_today,
            )
        self._was_exhausted = is_exhausted

    def _warn(self, pending: int, filled: float, hours_left: float | None) -> None:
        left = "" if hours_left is None else f"; in {hours_left:.1f} h the oldest is dropped"
        self._bus.event(
            "outbox-filling",
            "warning",
            f"{self._link}: {pending} messages wait, {filled:.0%} of what the stream may hold{left}",
            link=self._link,
            pending=pending,
            filled=round(filled, 3),
        )
