"""A link to this machine's disk: it acknowledges while it goes on, and rests while a network takes a backlog."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.uplink.pumping import TO_DISK, Site, site_on
from tests.support.nats import NatsServer
from tests.support.wait import until


@pytest.fixture
async def site(nats: NatsServer) -> AsyncIterator[Site]:
    async with site_on(nats) as found:
        found.fetch = TO_DISK
        yield found


async def _nothing_is_left(site: Site) -> bool:
    return await site.pump.pending() == 0


async def test_a_backlog_arrives_in_order_and_is_acknowledged(site: Site) -> None:
    await site.measure(520)
    await site.start()
    await site.arrives(*range(520))
    await until(lambda: _nothing_is_left(site), deadline_s=5, what="all acknowledged")
    assert site.end.got == list(range(520))


@pytest.mark.parametrize("after", [1, 49, 120, 200])
async def test_stopped_in_a_backlog_it_goes_on_where_it_was(site: Site, after: int) -> None:
    """What was delivered is acknowledged before the lane ends: nothing comes twice."""
    await site.measure(300)
    site.end.pause_s = 0.001
    await site.start()
    await until(lambda: len(site.end.got) >= after, deadline_s=15, what=f"{after} readings")
    await site.stop()
    await site.start()
    await site.arrives(*range(300), deadline_s=30)
    await until(lambda: _nothing_is_left(site), deadline_s=15, what="all acknowledged")
    assert sorted(site.end.got) == list(range(300))


async def test_an_outage_of_the_disk_loses_nothing(site: Site) -> None:
    await site.measure(300)
    site.end.pause_s = 0.001
    await site.start()
    await until(lambda: len(site.end.got) > 60, deadline_s=15, what="the backlog to begin")
    site.end.fails()
    await asyncio.sleep(0)
    site.end.returns()
    await site.arrives(*range(300), deadline_s=30)
    assert sorted(site.end.got) == list(range(300))


async def test_a_network_that_always_sends_does_not_starve_the_disk(site: Site) -> None:
    async def send() -> None:
        while True:
            site.courtesy.network_sends(site.clock.monotonic())
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(send(), name="network")
    try:
        await site.measure(1000)
        await site.start()
        await site.arrives(*range(1000), deadline_s=30)
    finally:
        sending.cancel()
    assert site.end.got == list(range(1000))
