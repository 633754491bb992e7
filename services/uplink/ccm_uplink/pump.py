"""The outbox of one link on one stream: its segments, and a lane for each that has its turn.

Oldest first: the oldest segment has a lane. Live first: the newest one has a second lane, and a segment that is found
far behind is cut, so that what is new goes beside it (docs/adr/0005). What a segment covers is in its consumer's name:
nothing is lost or sent twice when this process is killed between two steps. Switching a link off ends its segment.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from ccm_contracts.channels import TELEMETRY, Channel
from ccm_contracts.config.services import Backlog, Batch
from ccm_contracts.state import DeviceDelivery
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus, Consumer
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError
from ccm_kit.nats_facts import StreamFacts
from ccm_kit.nats_pull import ConsumerGoneError
from ccm_uplink.courtesy import Courtesy
from ccm_uplink.family import Fetch, Shared
from ccm_uplink.intake import ACK_WAIT_S
from ccm_uplink.lane import Lane
from ccm_uplink.link import LinkReport
from ccm_uplink.segments import MOST_SEGMENTS, Layout, Segment, layout_of, live_name, off_name
from ccm_uplink.sinks.base import Discard, Sink

log = logging.getLogger(__name__)

OLDEST_FIRST: Final = Backlog(order="oldest-first")
"""For a sink whose messages nobody waits for."""
ALONE: Final = Batch()
LOOK_S: Final = 60.0
"""How often the segments are looked at when nothing happens."""


class Pump:
    """`use` gives it its sink, at any time; `run` pumps for ever."""

    def __init__(
        self,
        bus: Bus,
        family: str,
        *channels: Channel[Any],
        report: LinkReport,
        fetch: Fetch,
        courtesy: Courtesy | None = None,
    ) -> None:
        """`courtesy` is the one of all pumps of the process."""
        self.name = family
        self._bus = bus
        self._channels = channels
        self._shared = Shared(
            bus,
            family,
            channels,
            report,
            fetch,
            Discard(),
            courtesy or Courtesy(),
            has_ledger=TELEMETRY in channels,
        )
        self._is_enabled = False
        self.is_arranged = False
        """Its segments are what the settings want: what the stream gets from now on is for the link, or is not."""
        self._segments: tuple[Segment, ...] = ()
        self._lanes: dict[str, Lane] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._retired: set[str] = set()
        """Delivered to their end; the server forgets them within seconds."""
        self._stir = asyncio.Event()
        self._changing = asyncio.Lock()
        report.when_up.append(self._wake)

    def use(
        self,
        sink: Sink,
        latency_s: int = 0,
        *,
        enabled: bool = True,
        backlog: Backlog = OLDEST_FIRST,
        batch: Batch = ALONE,
    ) -> None:
        """From now on deliver to `sink`; `latency_s` 0 is every message, in order."""
        self._shared.use(sink, latency_s, backlog, batch)
        self.is_arranged = self.is_arranged and enabled == self._is_enabled
        self._is_enabled = enabled
        for lane in self._lanes.values():
            lane.stir()
        self._stir.set()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.wake()

    def send_now(self) -> int:
        """Release what waits for the end of its slot, with the next batch; how many that are."""
        return sum(lane.intake.send_now() for lane in self._lanes.values())

    def oldest(self) -> datetime | None:
        """When the oldest message in hand was stored."""
        return min(
            (at for lane in self._lanes.values() if (at := lane.intake.oldest()) is not None), default=None
        )

    def devices(self) -> list[DeviceDelivery]:
        """The ledger's view of each device; empty of a pump without a ledger."""
        if not self._shared.has_ledger:
            return []
        oldest = self._segments[0].name if self._segments else None
        lane = self._lanes.get(oldest) if oldest is not None else None
        return self._shared.report.ledger.devices(
            oldest, lane.intake.lowest_in_hand() if lane is not None else {}
        )

    async def stream(self) -> StreamFacts:
        """What its stream holds. Raises `BusDownError`."""
        return await self._bus.stream_facts(self._channels[0])

    async def pending(self) -> int:
        """Messages that the sink has not acknowledged. Raises `BusDownError`."""
        return sum([await self._pending_of(segment) for segment in self._segments])

    async def front(self) -> int | None:
        """Up to which number of the stream the sink has all; None: nothing waits. Raises `BusDownError`."""
        for segment in self._segments:
            if await self._pending_of(segment):
                return (await self._consumer(segment).facts()).acked_seq
        return None

    async def _pending_of(self, segment: Segment) -> int:
        try:
            facts = await self._consumer(segment).facts()
        except ConsumerGoneError:
            return 0
        lane = self._lanes.get(segment.name)
        unacked = max(0, facts.unacked - (lane.intake.unsettled if lane is not None else 0))
        if segment.end is None:
            return facts.waiting + unacked
        return min(facts.waiting, max(0, segment.end - facts.delivered_seq)) + unacked

    async def run(self) -> None:
        backoff = Backoff()
        self.is_arranged = False
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._stir.clear()
                    try:
                        async with self._changing:
                            await self._arrange(tasks)
                        backoff.reset()
                    except BusDownError as err:
                        log.debug("cannot arrange", extra={"consumer": self.name, "error": str(err)})
                        await asyncio.sleep(backoff.next())
                        continue
                    stop_if_cancelled()
                    await self._rest()
        finally:
            self._lanes.clear()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._stir.wait()

    # --- segments ------------------------------------------------------------------------------------

    async def _arrange(self, tasks: asyncio.TaskGroup) -> None:
        """Make the segments what the settings want, and run a lane for each that has its turn."""
        layout = await self._layout()
        is_enabled = self._is_enabled
        if is_enabled:
            layout = await self._switched_on(layout)
        elif layout.off is None:
            await self._stop_all()
            layout = await self._switched_off(layout)
        for segment in layout.void:
            await self._consumer(segment).retire()
            self._retired.add(segment.name)
        self._segments = layout.segments
        if not self.is_arranged:
            self.is_arranged = is_enabled == self._is_enabled
            self._shared.report.is_changed()
        turns = self._turns() if self._is_enabled else ()
        for name, lane in list(self._lanes.items()):
            if name not in {segment.name for segment in turns}:
                await self._stop(name, lane)
        for segment in turns:
            if segment.name in self._lanes:
                self._lanes[segment.name].intake.segment = segment
            else:
                self._start(tasks, segment)

    def _turns(self) -> tuple[Segment, ...]:
        """The segments that are delivered now."""
        oldest, newest = self._segments[:1], self._segments[-1:]
        return oldest if oldest == newest or not self._shared.is_live_first else oldest + newest

    async def _layout(self) -> Layout:
        names = await self._bus.consumer_names(self._channels[0])
        self._retired &= set(names)
        return layout_of(self.name, [name for name in names if name not in self._retired])

    async def _switched_on(self, layout: Layout) -> Layout:
        """A link begins with all that the stream has, but one that was switched off with what comes from now on."""
        if layout.off is not None and layout.off.start is not None:
            start = (await self._bus.stream_facts(self._channels[0])).last_seq + 1
            segment = Segment(live_name(self.name, start, layout.off.start - 1), start)
        elif not layout.segments:
            segment = Segment(self.name, None)
        else:
            return layout
        await self._consumer(segment).create()
        return await self._layout()

    async def _switched_off(self, layout: Layout) -> Layout:
        """What was not delivered until now is kept, and nothing added to it."""
        if len(layout.segments) >= MOST_SEGMENTS:
            return layout
        start = (await self._bus.stream_facts(self._channels[0])).last_seq + 1
        await self._consumer(Segment(off_name(self.name, start), start)).create()
        return await self._layout()

    async def cut(self, lane: Lane) -> None:
        """Begin a new segment with what the stream gets next. Raises `BusDownError`."""
        async with self._changing:
            if lane.is_over or lane.intake.is_backlog or len(self._segments) >= MOST_SEGMENTS:
                return
            start = (await self._bus.stream_facts(self._channels[0])).last_seq + 1
            await self._consumer(Segment(live_name(self.name, start), start)).create()
            lane.intake.segment = Segment(lane.segment.name, lane.segment.start, start - 1)
            lane.is_over = lane.segment.name != self._segments[0].name
            log.info("live first", extra={"consumer": self.name, "backlog_ends": start - 1})
            self._stir.set()

    def _consumer(self, segment: Segment) -> Consumer:
        return self._bus.consumer(
            segment.name, *self._channels, ack_wait_s=ACK_WAIT_S, start_seq=segment.start
        )

    # --- lanes ---------------------------------------------------------------------------------------

    def _start(self, tasks: asyncio.TaskGroup, segment: Segment) -> None:
        lane = Lane(self._shared, segment, self)
        lane.intake.is_oldest = segment.name == self._segments[0].name
        self._lanes[segment.name] = lane
        self._running[segment.name] = tasks.create_task(self._run(lane), name=f"uplink.{segment.name}")

    async def _run(self, lane: Lane) -> None:
        name = lane.segment.name
        try:
            await lane.run()
            if not lane.is_over:
                await self._finished(lane)
        except ConsumerGoneError:
            log.warning("the stream was made anew", extra={"consumer": name})
            self._retired.clear()
            self._shared.report.ledger.forget_segments()
        finally:
            if self._lanes.get(name) is lane:
                del self._lanes[name], self._running[name]
            self._stir.set()

    async def _finished(self, lane: Lane) -> None:
        """The whole segment is delivered: its consumer has done its work."""
        backoff = Backoff()
        while True:
            try:
                async with self._changing:
                    await lane.intake.judge_all()
                    await lane.intake.consumer.retire()
                    await self._ended(lane.segment.name)
                log.info("backlog delivered", extra={"consumer": lane.segment.name})
                return
            except BusDownError:
                await asyncio.sleep(backoff.next())

    async def _ended(self, name: str) -> None:
        self._retired.add(name)
        later = [segment.name for segment in self._segments if segment.name != name]
        if self._shared.has_ledger:
            facts = await self._bus.stream_facts(self._channels[0])
            self._shared.report.ledger.ends(
                name, later[0] if later else None, self._bus.clock.now(), facts.first_seq
            )

    async def _stop(self, name: str, lane: Lane) -> None:
        lane.is_over = True
        task = self._running.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _stop_all(self) -> None:
        for name, lane in list(self._lanes.items()):
            await self._stop(name, lane)
