"""One segment of an outbox on its way to the sink: batches, acknowledged only after the sink did; with backoff.

A message that the sink can never take is parked as a `rejected` event. The sink is replaced live: what is in hand goes
to the new one.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from ccm_kit.backoff import Backoff
from ccm_kit.bus import Delivery
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError
from ccm_kit.nats_pull import ConsumerGoneError
from ccm_uplink.batch import Batch
from ccm_uplink.family import Shared
from ccm_uplink.flow import Portion
from ccm_uplink.intake import Intake
from ccm_uplink.segments import Segment
from ccm_uplink.sinks.base import SinkDownError

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.2
RETRY_CEILING_S: Final = 5.0
BEHIND_MESSAGES: Final = 20
"""Fewer than that are sent at once, in order."""
AT_ONCE: Final = 250
"""Messages that are prepared or finished before everything else in the process has its turn: about 0.4 ms."""
BUDGET_LOOK_S: Final = 10.0
"""How often a backlog asks whether the day's budget has something left for it."""


class Cutter(Protocol):
    """Who may cut a lane's segment; the pump."""

    async def cut(self, lane: "Lane") -> None:
        """Begin a new segment with what the stream gets next. Raises `BusDownError`."""


class Lane:
    """`run` returns when its segment is delivered to its end."""

    def __init__(self, shared: Shared, segment: Segment, cutter: Cutter) -> None:
        self.intake = Intake(shared, segment)
        self.is_over = False
        """Another lane's turn: `run` gives back what it has in hand and returns."""
        self._shared = shared
        self._cutter = cutter
        self._stir = asyncio.Event()
        self._wake = asyncio.Event()
        self._portion = Portion()
        self._fetching: asyncio.Task[tuple[int, list[Delivery]]] | None = None
        self._delivered: list[Delivery] = []
        self._is_full = False
        self._worked_from_s = 0.0

    @property
    def segment(self) -> Segment:
        return self.intake.segment

    def stir(self) -> None:
        """The sink, the latency or the lane's place has changed: what is under way is begun anew."""
        self._stir.set()
        self._wake.set()

    def wake(self) -> None:
        """The far end takes messages again: no need to wait longer."""
        self._wake.set()

    async def run(self) -> None:
        keeping = asyncio.create_task(self.intake.keep(), name=f"uplink.{self.segment.name}.keep")
        try:
            await self._work()
        finally:
            keeping.cancel()
            await self._stop_fetching()
            await self._settle()
            await self.intake.release()

    async def _work(self) -> None:
        """One batch after the other; of a backlog for the disk the next is fetched while one is delivered."""
        backoff, intake = Backoff(), self.intake
        while not self.is_over:
            try:
                found, chosen = await self._fetched()
                if not found and await intake.is_delivered():
                    return
                backoff.reset()
            except ConsumerGoneError:
                raise
            except BusDownError as err:
                log.debug("cannot fetch", extra={"consumer": self.segment.name, "error": str(err)})
                await asyncio.sleep(backoff.next())
                continue
            stop_if_cancelled()
            fetch = self._shared.fetch
            was_full, self._is_full = self._is_full, found >= fetch.most
            if fetch.is_to_disk and self._is_full and not intake.is_backlog:
                if was_full:
                    await self._let_network_pass()
                self._worked_from_s = self._shared.bus.clock.monotonic()
                self._fetching = asyncio.create_task(self._fetch(), name=f"uplink.{self.segment.name}.fetch")
            await self._deliver(Batch(self, chosen))

    async def _let_network_pass(self) -> None:
        """Rest in the middle of a backlog."""
        now_s = self._shared.bus.clock.monotonic()
        rest_s = self._shared.courtesy.rest_s(now_s - self._worked_from_s, now_s)
        if rest_s:
            await self._settle()
            await self._rest(rest_s)

    async def _fetched(self) -> tuple[int, list[Delivery]]:
        """What was begun to be fetched, or what is next."""
        if self._fetching is None or not self._fetching.done():
            await self._settle()
        if self._fetching is None:
            return await self._fetch()
        try:
            return await asyncio.shield(self._fetching)
        finally:
            if self._fetching.done():
                self._fetching = None

    async def _fetch(self) -> tuple[int, list[Delivery]]:
        """How many messages came, and those that go to the sink now. Raises `BusDownError`."""
        found = await self.intake.fetch()
        chosen = await self.intake.chosen(found)
        if self._shared.fetch.prepare is not None:
            for at in range(0, len(chosen), AT_ONCE):
                await asyncio.sleep(0)
                self._shared.fetch.prepare(chosen[at : at + AT_ONCE])
        return len(found), chosen

    async def _stop_fetching(self) -> None:
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait({fetching})
            if not fetching.cancelled():
                fetching.exception()  # the lane ends: nobody else asks for it

    # --- done ----------------------------------------------------------------------------------------

    async def finish(self, deliveries: Sequence[Delivery], *, was_delivered: bool = False) -> None:
        """What the disk has is acknowledged while it takes what comes next, or when nothing does."""
        if self._shared.fetch.is_to_disk and was_delivered:
            self._delivered += deliveries
        else:
            await self.intake.finish(deliveries, was_delivered=was_delivered)

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        self.intake.arrived(deliveries)

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        await self.intake.settle(deliveries)

    def park(self, delivery: Delivery, reason: str) -> None:
        self.intake.park(delivery, reason)

    async def _settle(self) -> None:
        while self._delivered:
            await asyncio.sleep(0)
            piece, self._delivered = self._delivered[:AT_ONCE], self._delivered[AT_ONCE:]
            await self.intake.finish(piece, was_delivered=True)

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
        if not shared.is_live_first or self.intake.is_backlog or not shared.report.connected:
            return
        if not self.intake.is_behind:
            return
        try:
            if (await self.intake.consumer.facts()).waiting >= BEHIND_MESSAGES:
                await self._cutter.cut(self)
            else:
                self.intake.is_caught_up()
        except BusDownError as err:
            log.debug("cannot cut", extra={"consumer": self.segment.name, "error": str(err)})

    async def _hand_over(self, batch: Batch) -> bool:
        """One portion; false when it is to be tried again later."""
        shared, clock = self._shared, self._shared.bus.clock
        if shared.is_live_first and not shared.report.connected:
            batch.offer(1)  # a first message finds out whether the far end is back
            return await self._attempt(batch)
        rate = shared.report.rate
        if not self.intake.is_catching_up:
            self._charge(batch.offer())
            return await self._attempt(batch)
        if not self._may_catch_up():
            await self._rest(BUDGET_LOOK_S)
            return True
        if wait_s := rate.wait_s(clock.monotonic()):
            await self._rest(wait_s)
            return True
        size = batch.offer(min(self._portion.size_bytes, rate.most_bytes()))
        started_s = clock.monotonic()
        self._charge(size)
        is_done = await self._attempt(batch)
        if is_done:
            self._portion.took(size, clock.monotonic() - started_s)
        return is_done

    def _may_catch_up(self) -> bool:
        """Whether the day's budget has something for a backlog; in one order nothing live goes beside it."""
        report = self._shared.report
        if not self.intake.is_backlog:
            return not report.is_used_up()
        return report.meter.may_send_backlog(self._shared.bus.clock.now())

    def _charge(self, size: int) -> None:
        """To the rate, where the wire itself is not looked at."""
        report = self._shared.report
        if report.counts != "wire":
            report.rate.charge(size, self._shared.bus.clock.monotonic())

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
        if self._is_full and not self._shared.fetch.is_to_disk:
            self._shared.courtesy.network_sends(self._shared.bus.clock.monotonic())
        try:
            await self._settle()
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
