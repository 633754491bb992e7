"""One durable consumer to one sink: batches, acknowledged only after the sink did; retries with backoff.

At most one batch and one candidate per device are in hand, each kept from being delivered again. A message
that the sink can never take is parked as a `rejected` event. The sink is replaced live: what is in hand goes to
the new one.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ccm_contracts.channels import Channel
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus, Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError
from ccm_uplink.history.rows import ms_of
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Discard, Sink, SinkDownError
from ccm_uplink.slots import Slots

log = logging.getLogger(__name__)

CAUGHT_UP_BELOW: Final = 50
"""A fetch that brings fewer has emptied the bus."""
ACK_WAIT_S: Final = 8.0
"""What a killed uplink had in hand is delivered again after so long."""
KEEP_S: Final = 2.5
"""How often what is in hand is kept from being delivered again."""
REMEMBERED: Final = 5000
"""Finished messages that are known again, should the bus deliver one twice after a restart."""
DISCARD_PAUSE_S: Final = 1.0
"""Between two batches of a link that is switched off: its backlog takes no time from the others."""
RETRY_FIRST_S: Final = 0.2
RETRY_CEILING_S: Final = 5.0

_Key = tuple[int, int]
"""Sequence in the stream, hash of the payload: a stream that was made anew counts from 1 again."""


def _key(delivery: Delivery) -> _Key:
    return delivery.seq, hash(delivery.payload)


class Batch:
    """A `Handover`: what the sink has not finished yet."""

    def __init__(self, pump: "Pump", deliveries: Sequence[Delivery]) -> None:
        self._pump = pump
        self._left = {_key(delivery): delivery for delivery in deliveries}
        self.one_by_one = False

    def left(self) -> list[Delivery]:
        everything = list(self._left.values())
        return everything[:1] if self.one_by_one else everything

    async def done(self, delivery: Delivery) -> None:
        self._left.pop(_key(delivery), None)
        await self._pump.finish(delivery, was_delivered=True)

    async def refuse(self, delivery: Delivery, reason: str) -> None:
        self._left.pop(_key(delivery), None)
        self._pump.park(delivery, reason)
        await self._pump.finish(delivery)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A batch is up to `most` messages: what is there, or what comes within `wait_s` and in `gather_s` after it."""

    most: int
    wait_s: float
    gather_s: float = 0.0


class Pump:
    """`use` gives it its sink, at any time; `run` pumps for ever."""

    def __init__(
        self, bus: Bus, consumer: str, *channels: Channel[Any], report: LinkReport, fetch: Fetch
    ) -> None:
        self.name = consumer
        self._bus = bus
        self._consumer = bus.consumer(consumer, *channels, ack_wait_s=ACK_WAIT_S)
        self._report = report
        self._fetching = fetch
        self._sink: Sink = Discard()
        self._replaced = asyncio.Event()
        self._latency_s = 0
        self._slots: Slots[Delivery] = Slots(0)
        self._flushed: tuple[Delivery, ...] = ()
        self._in_hand: dict[_Key, Delivery] = {}
        self._finished: OrderedDict[_Key, None] = OrderedDict()

    def use(self, sink: Sink, latency_s: int = 0) -> None:
        """From now on deliver to `sink`; `latency_s` 0 is every message, in order."""
        if latency_s != self._latency_s:
            self._flushed += self._slots.flush()
            self._slots = Slots(latency_s)
            self._latency_s = latency_s
        self._sink = sink
        self._replaced.set()

    async def pending(self) -> int:
        return await self._consumer.pending()

    def oldest(self) -> datetime | None:
        first = next(iter(self._in_hand.values()), None)
        return first.message.ts if first is not None else None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work(), name=f"uplink.{self.name}.work")
                tasks.create_task(self._keep(), name=f"uplink.{self.name}.keep")
        finally:
            await self._consumer.close()

    async def _work(self) -> None:
        """One batch after the other. Fetching the next one meanwhile was slower: both sides fight for the GIL."""
        backoff = Backoff()
        while True:
            try:
                found = await self._consumer.fetch(
                    self._fetching.most, self._fetching.wait_s, self._fetching.gather_s
                )
                backoff.reset()
            except BusDownError as err:
                log.debug("cannot fetch", extra={"consumer": self.name, "error": str(err)})
                await asyncio.sleep(backoff.next())
                continue
            stop_if_cancelled()
            await self._deliver(Batch(self, await self._chosen(found)))
            if isinstance(self._sink, Discard):
                await self._rest(DISCARD_PAUSE_S)

    # --- from the bus --------------------------------------------------------------------------------

    async def _chosen(self, found: list[Delivery]) -> list[Delivery]:
        """What goes to the sink now, in order."""
        now_ms = ms_of(self._bus.clock.now())
        chosen, self._flushed = list(self._flushed), ()
        for delivery in found:
            if not await self._take(delivery):
                continue
            picked = self._slots.offer(delivery.subject, ms_of(delivery.message.ts), delivery, now_ms)
            chosen += picked.released
            for superseded in picked.superseded:
                await self.finish(superseded)
        if len(found) < CAUGHT_UP_BELOW:
            chosen += self._slots.due(now_ms)
        return chosen

    async def _take(self, delivery: Delivery) -> bool:
        """Whether it is new; what was finished already is acknowledged once more."""
        key = _key(delivery)
        if key in self._finished:
            await delivery.ack()
            return False
        if key in self._in_hand:
            return False
        self._in_hand[key] = delivery
        return True

    # --- to the sink ---------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        """Returns when nothing of the batch is left, however long its sink is down."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while batch.left():
            if await self._attempt(batch):
                continue
            await self._rest(backoff.next())

    async def _rest(self, wait_s: float) -> None:
        """Wait, but not longer than until the sink is replaced."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._replaced.wait()
        self._replaced.clear()

    async def _attempt(self, batch: Batch) -> bool:
        """Hand the batch to the sink; false when it is to be tried again later."""
        self._replaced.clear()
        work = asyncio.create_task(self._sink.deliver(batch), name=f"uplink.{self.name}.batch")
        other = asyncio.create_task(self._replaced.wait(), name=f"uplink.{self.name}.replaced")
        try:
            await asyncio.wait({work, other}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            other.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
        if work.cancelled():
            return True
        return await self._judged(batch, work.exception())

    async def _judged(self, batch: Batch, err: BaseException | None) -> bool:
        if err is None:
            return True
        if isinstance(err, SinkDownError):
            self._report.down(err.message)
            return False
        log.error("sink failed", exc_info=err, extra={"consumer": self.name})
        if batch.one_by_one:
            for delivery in batch.left():
                await batch.refuse(delivery, f"the {self._report.link} sink cannot handle it: {err!r}")
        batch.one_by_one = True
        return False

    async def finish(self, delivery: Delivery, *, was_delivered: bool = False) -> None:
        """Acknowledge and forget it."""
        key = _key(delivery)
        self._in_hand.pop(key, None)
        self._finished[key] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        if was_delivered and self._report.enabled:
            self._report.delivered += 1
        await delivery.ack()

    def park(self, delivery: Delivery, reason: str) -> None:
        """Tell the operator which message was refused and why."""
        self._bus.reject(delivery.subject, delivery.payload, reason)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            for delivery in list(self._in_hand.values()):
                await delivery.keep()
