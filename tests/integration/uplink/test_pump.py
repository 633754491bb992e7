"""The order of what a link delivers, and what survives: outages, restarts, a killed NATS server, switching off."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from ccm_contracts.config.services import Backlog
from tests.integration.uplink.pumping import Site, outage, site_on
from tests.support.nats import NatsServer
from tests.support.wait import until


@pytest.fixture
async def site(nats: NatsServer) -> AsyncIterator[Site]:
    async with site_on(nats) as found:
        yield found


async def test_after_an_outage_live_goes_first_then_the_backlog_oldest_first(site: Site) -> None:
    await site.start()
    first = await site.measure(5)
    await site.arrives(*first)
    missed = await outage(site, 500)
    site.end.pause_s = 0.02
    site.end.returns()
    await until(lambda: len(site.end.got) > 8, deadline_s=10, what="the backlog to begin")
    live = await site.measure(5)
    await site.arrives(*live)
    site.end.pause_s = 0.0
    await site.arrives(*missed, deadline_s=30)
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
        site.end.pause_s = 0.02
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
