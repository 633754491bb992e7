"""One link between a real NATS server and a far end in this process, with a clock that can be put forward."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from ccm_contracts.channels import PLANT, TELEMETRY
from ccm_contracts.config.services import Backlog
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from ccm_uplink.courtesy import Courtesy
from ccm_uplink.family import Fetch
from ccm_uplink.link import LinkReport
from ccm_uplink.pump import Pump
from ccm_uplink.sinks.base import Handover, SinkDownError
from tests.integration.uplink.site import GATEWAY, on_bus, publish, reading
from tests.support.nats import NatsServer
from tests.support.wait import until

LIVE_FIRST = Backlog(order="live-first")
FAST = Fetch(most=100, wait_s=0.2)
TO_DISK = Fetch(most=50, wait_s=0.2, is_to_disk=True)


class JumpingClock(SystemClock):
    """The real one, put forward by `ahead_s`."""

    ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class FarEnd:
    """A sink that can be down and slow; `got` holds the sequence numbers in the order of their arrival."""

    def __init__(self, report: LinkReport) -> None:
        self.is_up = True
        self.pause_s = 0.0
        self.got: list[int] = []
        self.never_takes: set[int] = set()
        self._report = report
        self.report_state()

    def report_state(self) -> None:
        if self.is_up:
            self._report.up()
        else:
            self._report.down("the far end is down")

    def fails(self) -> None:
        self.is_up = False
        self.report_state()

    def returns(self) -> None:
        self.is_up = True
        self.report_state()

    async def run(self) -> None:
        return

    async def deliver(self, batch: Handover) -> None:
        for delivery in batch.left():
            if not self.is_up:
                raise SinkDownError("the far end is down")
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
            if delivery.message.seq in self.never_takes:
                await batch.refuse(delivery, "it is too large")
                continue
            self.got.append(delivery.message.seq)
            await batch.done(delivery)


class Site:
    """uplink's place on the bus, one link of it, and the meter."""

    def __init__(self, nats: NatsServer, bus: Bus, reader: Bus, clock: JumpingClock) -> None:
        self.nats = nats
        self.bus = bus
        self.reader = reader
        self.clock = clock
        self.report = LinkReport(bus, "mqtt")
        self.end = FarEnd(self.report)
        self.fetch = FAST
        self.courtesy = Courtesy()
        self.pump = self._pump()
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def _pump(self) -> Pump:
        return Pump(
            self.bus,
            "mqtt",
            TELEMETRY,
            PLANT,
            report=self.report,
            fetch=self.fetch,
            courtesy=self.courtesy,
        )

    async def start(self, backlog: Backlog = LIVE_FIRST) -> None:
        """A new process would do the same: nothing of an earlier pump is known."""
        self.pump = self._pump()
        self.pump.use(self.end, backlog=backlog)
        self.report.meter.budget_bytes = backlog.bytes_per_day
        self._task = asyncio.create_task(self._run(), name="pump")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pump.run(), name="uplink.mqtt")
            tasks.create_task(self.report.run(self.pump), name="uplink.mqtt.report")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def skips(self, count: int) -> None:
        """So many numbers do not come from here."""
        self._next += count

    async def measure(self, count: int) -> range:
        numbers = range(self._next, self._next + count)
        self._next += count
        await publish(self.reader, *(reading(n) for n in numbers))
        return numbers

    def has_more_than(self, count: int) -> bool:
        return len(self.end.got) > count

    async def arrives(self, *numbers: int, deadline_s: float = 15) -> None:
        await until(
            lambda: set(numbers) <= set(self.end.got),
            deadline_s=deadline_s,
            what=f"{len(numbers)} readings; there are {len(set(self.end.got))}",
        )

    async def settles(self, *names: str) -> None:
        """Until the stream has these consumers of the link and no others."""

        async def is_so() -> bool:
            found = [name for name in await self.bus.consumer_names(TELEMETRY) if name.startswith("mqtt")]
            return sorted(found) == sorted(names)

        await until(is_so, deadline_s=15, what=f"the consumers {names}")


@asynccontextmanager
async def site_on(nats: NatsServer) -> AsyncIterator[Site]:
    clock = JumpingClock()
    link = NatsLink(nats.url, user="", password="", name="uplink")
    async with (
        link,
        open_bus(link, service="uplink", gateway=GATEWAY, clock=clock, version="0") as bus,
        on_bus(nats, "bus-reader") as reader,
    ):
        site = Site(nats, bus, reader, clock)
        try:
            yield site
        finally:
            await site.stop()


async def outage(site: Site, count: int) -> range:
    """The far end is away for a minute, in which `count` readings are taken."""
    site.end.fails()
    before = await site.measure(count)
    await asyncio.sleep(0)
    site.clock.ahead_s += 60
    return before
