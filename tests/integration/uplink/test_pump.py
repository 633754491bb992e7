"""A pump between a real NATS server and a far end in this process, with a clock that can be put forward."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

import pytest

from ccm_contracts.channels import PLANT, TELEMETRY
from ccm_contracts.config.services import Backlog
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from ccm_uplink.family import Fetch
from ccm_uplink.link import LinkReport
from ccm_uplink.pump import Pump
from ccm_uplink.sinks.base import Handover, SinkDownError
from tests.integration.uplink.site import GATEWAY, on_bus, publish, reading
from tests.support.nats import NatsServer
from tests.support.wait import until

LIVE_FIRST = Backlog(order="live-first")
FAST = Fetch(most=100, wait_s=0.2)


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
        self.pump = self._pump()
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def _pump(self) -> Pump:
        return Pump(self.bus, "mqtt", TELEMETRY, PLANT, report=self.report, fetch=FAST)

    async def start(self, backlog: Backlog = LIVE_FIRST) -> None:
        """A new process would do the same: nothing of an earlier pump is known."""
        self.pump = self._pump()
        self.pump.use(self.end, backlog=backlog)
        self._task = asyncio.create_task(self.pump.run(), name="pump")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

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


@pytest.fixture
async def site(nats: NatsServer) -> AsyncIterator[Site]:
    async with site_on(nats) as found:
        yield found


async def outage(site: Site, count: int) -> range:
    """The far end is away for a minute, in which `count` readings are taken."""
    site.end.fails()
    before = await site.measure(count)
    await asyncio.sleep(0)
    site.clock.ahead_s += 60
    return before


async def test_after_an_outage_live_goes_first_then_the_backlog_oldest_first(site: Site) -> None:
    await site.start()
    first = await site.measure(5)
    await site.arrives(*first)
    missed = await outage(site, 500)
    site.end.pause_s = 0.002
    site.end.returns()
    await until(lambda: len(site.end.got) > 8, deadline_s=10, what="the backlog to begin")
    live = await site.measure(5)
    await site.arrives(*missed, *live, deadline_s=30)
    got = site.end.got
    assert sorted(got) == list(range(510))  # each once
    assert [n for n in got if n in missed] == list(missed)  # oldest first
    assert max(got.index(n) for n in live) < got.index(missed[400])  # live is not behind the backlog
    await site.settles("mqtt-s506")


async def test_oldest_first_keeps_the_order(site: Site) -> None:
    await site.start(Backlog(order="oldest-first"))
    await site.arrives(*await site.measure(5))
    await outage(site, 200)
    site.end.returns()
    await site.measure(5)
    await site.arrives(*range(210))
    assert site.end.got == list(range(210))
    await site.settles("mqtt")


async def test_outage_during_a_backlog_leaves_each_reading_sent_once(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    for count in (300, 200, 100):
        await outage(site, count)
        site.end.pause_s = 0.005
        delivered = len(site.end.got)
        site.end.returns()
        await until(partial(site.has_more_than, delivered + 3), deadline_s=10, what="the backlog to go on")
        now = await site.measure(3)
        await site.arrives(*now)
        assert len(site.end.got) < now[0]  # there is a backlog still
    site.end.pause_s = 0.0
    await site.arrives(*range(5 + 303 + 203 + 103), deadline_s=30)
    assert sorted(site.end.got) == list(range(614))
    await site.settles("mqtt-s612")


@pytest.mark.parametrize("after", [6, 40, 150, 290])
async def test_stop_and_start_in_a_backlog_skips_nothing(site: Site, after: int) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    await outage(site, 300)
    site.end.pause_s = 0.001
    site.end.returns()
    await until(lambda: len(site.end.got) >= after, deadline_s=15, what=f"{after} readings")
    await site.stop()
    await site.measure(20)
    await site.start()
    await site.arrives(*range(325), deadline_s=30)
    assert sorted(site.end.got) == list(range(325))


async def test_nats_killed_in_a_backlog_skips_nothing(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    await outage(site, 400)
    site.end.pause_s = 0.002
    site.end.returns()
    await until(lambda: len(site.end.got) >= 60, deadline_s=15, what="the backlog to begin")
    await site.nats.kill()
    await site.nats.start()
    await site.measure(5)
    await site.arrives(*range(410), deadline_s=40)
    assert sorted(site.end.got) == list(range(410))


async def test_switched_off_keeps_what_it_owes_and_takes_nothing_new(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    owed = await outage(site, 50)
    site.pump.use(site.end, enabled=False)
    await site.settles("mqtt", "mqtt-off56")
    await site.measure(30)  # of no interest to a link that is off
    await site.stop()
    site.end.returns()
    site.pump.use(site.end, enabled=True)
    await site.start()
    await site.settles("mqtt-s86-e55")
    await site.arrives(*owed, *await site.measure(5))
    assert sorted(site.end.got) == [*range(55), *range(85, 90)]


async def test_link_that_was_never_on_owes_nothing(site: Site) -> None:
    await site.measure(10)
    site.pump.use(site.end, enabled=False)
    task = asyncio.create_task(site.pump.run(), name="pump")
    await site.settles("mqtt-off11")
    task.cancel()
    await site.measure(10)
    await site.start()
    await site.settles("mqtt-s21-e10")
    await site.arrives(*await site.measure(3))
    assert site.end.got == [20, 21, 22]
