"""One segment of an outbox on its way to the sink: batches, acknowledged only after the sink did; with backoff.

At most one batch and one candidate per device are in hand, each kept from being delivered again. A message that the
sink can never take is parked as a `rejected` event. The sink is replaced live: what is in hand goes to the new one.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

from ccm_kit.backoff import Backoff
from ccm_kit.bus import Consumer, Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError
from ccm_kit.nats_pull import ConsumerGoneError
from ccm_uplink.batch import Batch, Key, key_of
from ccm_uplink.family import Shared
from ccm_uplink.flow import Portion
from ccm_uplink.history.rows import ms_of
from ccm_uplink.segments import Segment
from ccm_uplink.sinks.base import SinkDownError
from ccm_uplink.slots import Slots

log = logging.getLogger(__name__)

CAUGHT_UP_BELOW: Final = 50
"""A fetch that brings fewer has emptied the bus."""
ACK_WAIT_S: Final = 8.0
"""What a killed uplink had in hand is delivered again after so long."""
KEEP_S: Final = 2.5
"""How often what is in hand is kept from being delivered again."""
RETRY_FIRST_S: Final = 0.2
RETRY_CEILING_S: Final = 5.0
BEHIND_S: Final = 15.0
"""A link that takes messages again and is further behind than this gets what is new first."""
BEHIND_MESSAGES: Final = 20
"""Fewer than that are sent at once, in order."""
AT_THE_END: Final = 20
"""Messages asked for at once while the last ones of a segment are still in hand somewhere."""


class Cutter(Protocol):
    """Who may cut a lane's segment; the pump."""

    async def cut(self, lane: "Lane") -> None:
        """Begin a new segment with what the stream gets next. Raises `BusDownError`."""


class Lane:
    """`run` returns when its segment is delivered to its end."""

    def __init__(self, shared: Shared, segment: Segment, cutter: Cutter) -> None:
        self.segment = segment
        self.is_over = False
        """Another lane's turn: `run` gives back what it has in hand and returns."""
        self._shared = shared
        self._cutter = cutter
        self.consumer: Consumer = shared.bus.consumer(
            segment.name, *shared.channels, ack_wait_s=ACK_WAIT_S, start_seq=segment.start
        )
        self._stir = asyncio.Event()
        self._wake = asyncio.Event()
        self._slots: Slots[Delivery] = Slots(shared.latency_s)
        self._flushed: tuple[Delivery, ...] = ()
        self._in_hand: dict[Key, Delivery] = {}
        self._portion = Portion()
        self._saw_end = False
        self._fetched_at_s = 0.0
        self._newest_age_s = 0.0

    @property
    def is_backlog(self) -> bool:
        return self.segment.end is not None

    def stir(self) -> None:
        """The sink, the latency or the lane's place has changed: what is under way is begun anew."""
        self._stir.set()
        self._wake.set()

    def wake(self) -> None:
        """The far end takes messages again: no need to wait longer."""
        self._wake.set()

    def use_latency(self, latency_s: int) -> None:
        if latency_s != self._slots.latency_s:
            self._flushed += self._slots.flush()
            self._slots = Slots(latency_s)

    def send_now(self) -> int:
        """Release the candidates with the next batch, their slots ended or not; how many those are."""
        waiting = self._slots.flush()
        self._flushed += waiting
        return len(waiting)

    def oldest(self) -> datetime | None:
        """When the oldest message in hand was stored."""
        return min((delivery.stored_at for delivery in self._in_hand.values()), default=None)

    async def run(self) -> None:
        keeping = asyncio.create_task(self._keep(), name=f"uplink.{self.segment.name}.keep")
        try:
            await self._work()
        finally:
            keeping.cancel()
            for delivery in self._in_hand.values():
                await delivery.release()
            await self.consumer.close()

    async def _work(self) -> None:
        """One batch after the other. Fetching the next one meanwhile was slower: both sides fight for the GIL."""
        backoff = Backoff()
        while not self.is_over:
            try:
                found = await self._fetch()
                if not found and self._saw_end and await self._is_delivered():
                    return
                backoff.reset()
            except ConsumerGoneError:
                raise
            except BusDownError as err:
                log.debug("cannot fetch", extra={"consumer": self.segment.name, "error": str(err)})
                await asyncio.sleep(backoff.next())
                continue
            stop_if_cancelled()
            await self._deliver(Batch(self, await self._chosen(found)))

    # --- from the bus --------------------------------------------------------------------------------

    async def _fetch(self) -> list[Delivery]:
        """What is next in the segment; what is beyond its end belongs to another one."""
        fetch = self._shared.fetch
        most = AT_THE_END if self._saw_end else fetch.most
        found = await self.consumer.fetch(most, fetch.wait_s, 0.0 if self.is_backlog else fetch.gather_s)
        clock = self._shared.bus.clock
        self._fetched_at_s = clock.monotonic()
        if found:
            self._newest_age_s = (clock.now() - found[-1].stored_at).total_seconds()
        else:
            self._newest_age_s = 0.0
        if self.segment.end is None:
            return found
        mine = [delivery for delivery in found if delivery.seq <= self.segment.end]
        self._saw_end = self._saw_end or len(mine) < len(found) or not found
        for delivery in found:
            if delivery.seq > self.segment.end:
                await delivery.ack()
        return mine

    async def _is_delivered(self) -> bool:
        """Whether nothing of the segment is left, here or with an uplink that was killed."""
        facts = await self.consumer.facts()
        end = self.segment.end
        return (
            not self._in_hand
            and facts.unacked == 0
            and end is not None
            and (facts.waiting == 0 or facts.delivered_seq >= end)
        )

    async def _chosen(self, found: list[Delivery]) -> list[Delivery]:
        """What goes to the sink now, in order."""
        now_ms = ms_of(self._shared.bus.clock.now())
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
        key = key_of(delivery)
        if key in self._shared.finished:
            await delivery.ack()
            return False
        if key in self._in_hand:
            return False
        self._in_hand[key] = delivery
        return True

    # --- to the sink ---------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        """Returns when nothing of the batch is left, however long its sink is down, or when the lane is over."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while not batch.is_empty:
            await self._let_live_pass()
            if self.is_over:
                return
            if await self._hand_over(batch):
                backoff.reset()
            else:
                await self._rest(backoff.next())

    async def _let_live_pass(self) -> None:
        """When the far end takes messages and this lane is far behind, it becomes a backlog."""
        shared = self._shared
        if not shared.is_live_first or self.is_backlog or not shared.report.connected:
            return
        if shared.bus.clock.monotonic() - self._fetched_at_s + self._newest_age_s < BEHIND_S:
            return
        try:
            if (await self.consumer.facts()).waiting >= BEHIND_MESSAGES:
                await self._cutter.cut(self)
            else:
                self._newest_age_s = 0.0
                self._fetched_at_s = shared.bus.clock.monotonic()
        except BusDownError as err:
            log.debug("cannot cut", extra={"consumer": self.segment.name, "error": str(err)})

    async def _hand_over(self, batch: Batch) -> bool:
        """One portion; false when it is to be tried again later."""
        shared, clock = self._shared, self._shared.bus.clock
        if shared.is_live_first and not shared.report.connected:
            batch.offer(1)  # a first message finds out whether the far end is back
            return await self._attempt(batch)
        if not self.is_backlog:
            shared.rate.charge(batch.offer(), clock.monotonic())
            return await self._attempt(batch)
        if wait_s := shared.rate.wait_s(clock.monotonic()):
            await self._rest(wait_s)
            return True
        size = batch.offer(min(self._portion.size_bytes, shared.rate.most_bytes()))
        started_s = clock.monotonic()
        shared.rate.charge(size, started_s)
        is_done = await self._attempt(batch)
        if is_done:
            self._portion.took(size, clock.monotonic() - started_s)
        return is_done

    async def _rest(self, wait_s: float) -> None:
        """Wait, but not longer than until the sink is replaced or is back."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _attempt(self, batch: Batch) -> bool:
        """Hand the portion to the sink; false when it is to be tried again later."""
        self._stir.clear()
        name = f"uplink.{self.segment.name}"
        work = asyncio.create_task(self._shared.sink.deliver(batch), name=f"{name}.batch")
        other = asyncio.create_task(self._stir.wait(), name=f"{name}.stir")
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
            self._shared.report.down(err.message)
            return False
        log.error("sink failed", exc_info=err, extra={"consumer": self.segment.name})
        if batch.one_by_one:
            for delivery in batch.left():
                reason = f"the {self._shared.report.link} sink cannot handle it: {err!r}"
                await batch.refuse(delivery, reason)
        batch.one_by_one = True
        return False

    async def finish(self, delivery: Delivery, *, was_delivered: bool = False) -> None:
        """Acknowledge and forget it."""
        key = key_of(delivery)
        self._in_hand.pop(key, None)
        self._shared.remember(key)
        if was_delivered:
            self._shared.report.delivered += 1
        await delivery.ack()

    def park(self, delivery: Delivery, reason: str) -> None:
        """Tell the operator which message was refused and why."""
        self._shared.bus.reject(delivery.subject, delivery.payload, reason)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            for delivery in list(self._in_hand.values()):
                await delivery.keep()
