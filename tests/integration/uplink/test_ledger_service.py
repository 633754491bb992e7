"""What a link says of its delivery: the ledger, what was dropped, budgets and warnings."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import nats as nats_py
import pytest

from ccm_contracts.channels import EVENT, LEDGER_STATE, LINK_STATE, TELEMETRY, TELEMETRY_STREAM
from ccm_contracts.config.services import Backlog, Mqtt
from ccm_contracts.messages import Event
from ccm_contracts.state import LinkLedger, LinkState
from ccm_kit.bus import Bus
from ccm_uplink.intake import ACK_WAIT_S
from ccm_uplink.meter import EXHAUSTED_LATENCY_S, OVERHEAD_BYTES
from tests.integration.uplink.pumping import Site, outage, site_on
from tests.integration.uplink.site import (
    GATEWAY,
    Uplink,
    configure,
    connected,
    ledger,
    on_bus,
    publish,
    reading,
    uplink_process,
)
from tests.support.mosquitto import Mosquitto
from tests.support.nats import NatsServer
from tests.support.wait import stays, until


@pytest.fixture
async def site(nats: NatsServer) -> AsyncIterator[Site]:
    async with site_on(nats) as found:
        yield found


async def _limit(server: NatsServer, **limits: int) -> None:
    """Change the limits of the stream, as an operator may."""
    client = await nats_py.connect(server.url)
    try:
        config = (await client.jetstream().stream_info(TELEMETRY_STREAM.name)).config
        await client.jetstream().update_stream(config.evolve(**limits))
    finally:
        await client.close()


async def _book(bus: Bus, *, complete_to: int) -> LinkLedger:
    async def written() -> LinkLedger | None:
        book = await bus.last(LEDGER_STATE, id="mqtt")
        return book if book is not None and [d.complete_to for d in book.devices] == [complete_to] else None

    book = await until(written, deadline_s=15, what=f"a ledger complete to {complete_to}")
    assert book is not None
    return book


async def _state(bus: Bus) -> LinkState:
    state = await bus.last(LINK_STATE, id="mqtt")
    assert state is not None
    return state


async def _event(bus: Bus, kind: str) -> Event:
    async def told() -> Event | None:
        return await bus.last(EVENT, source="uplink", kind=kind)

    event = await until(told, deadline_s=15, what=f"an event {kind}")
    assert event is not None
    return event


async def test_ledger_says_what_arrived_and_what_is_on_its_way(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    assert (await _book(site.bus, complete_to=4)).devices[0].delivered == 5
    await outage(site, 50)
    site.end.returns()
    site.end.pause_s = 0.5
    await until(lambda: len(site.end.got) > 6, deadline_s=10, what="the backlog to begin")
    (live,) = await site.measure(1)
    await site.arrives(live)
    (grid,) = site.pump.devices()
    assert grid.last_seq == live
    assert 4 < (grid.complete_to or 0) < 54
    site.end.pause_s = 0.0
    book = await _book(site.bus, complete_to=live)
    assert (book.devices[0].delivered, book.missing, book.dropped) == (56, [], 0)


async def test_what_the_stream_dropped_is_named_by_device_and_number(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    await outage(site, 400)  # 5 to 404; up to 100 of them are in hand
    await _limit(site.nats, max_msgs=50)  # 355 to 404 stay
    site.end.returns()
    await site.arrives(404)
    book = await _book(site.bus, complete_to=404)
    (gap,) = book.missing
    assert (gap.device, gap.reason, gap.last_seq) == ("grid", "expired", 354)
    arrived = set(site.end.got)
    assert arrived == set(range(405)) - set(range(gap.first_seq, 355))
    assert book.dropped == 355 - gap.first_seq
    event = await _event(site.bus, "dropped")
    assert event.severity == "error"
    assert event.data["ranges"] == [["grid", gap.first_seq, 354]]

    async def shown() -> bool:
        state = await site.bus.last(LINK_STATE, id="mqtt")
        return state is not None and state.dropped == book.dropped and state.pending == 0

    await until(shown, deadline_s=15, what="the number of dropped readings in the link's state")


async def test_what_cannot_be_read_is_not_blamed_on_the_bus(site: Site) -> None:
    """A reading of another release, whose time is no time: it came, and its number will never arrive."""
    await site.measure(5)
    client = await nats_py.connect(site.nats.url)
    subject = TELEMETRY.subject(gw=GATEWAY, device="grid")
    broken = reading(5).model_dump_json().replace("2026-", "never-")
    await client.jetstream().publish(subject, broken.encode())
    await client.close()
    site.skips(1)
    await site.measure(2)
    await site.start()
    book = await _book(site.bus, complete_to=7)
    assert [(gap.first_seq, gap.last_seq, gap.reason) for gap in book.missing] == [(5, 5, "refused")]
    assert (book.refused, book.dropped) == (1, 0)
    event = await _event(site.bus, "missing")
    assert "cannot be delivered" in event.message


async def test_what_the_far_end_never_takes_is_named(site: Site) -> None:
    await site.start()
    site.end.never_takes = {3}
    await site.measure(6)
    await site.arrives(5)
    book = await _book(site.bus, complete_to=5)
    assert [(gap.device, gap.first_seq, gap.last_seq, gap.reason) for gap in book.missing] == [
        ("grid", 3, 3, "refused")
    ]
    assert (book.refused, book.devices[0].delivered) == (1, 5)


async def test_outbox_that_fills_up_warns_and_tells_the_hours_left(site: Site) -> None:
    await site.start()
    await site.arrives(*await site.measure(5))
    await outage(site, 300)
    facts = await site.pump.stream()
    await _limit(site.nats, max_bytes=facts.size_bytes * 10 // 9)
    event = await _event(site.bus, "outbox-filling")
    assert event.severity == "warning"
    assert event.data["filled"] > 0.8
    state = await _state(site.bus)
    assert state.pending == 300
    assert state.hours_left is not None
    assert state.hours_left <= 30 * 24
    assert (state.oldest_s or 0) > 50


async def test_used_up_budget_thins_live_and_holds_the_backlog_until_midnight(site: Site) -> None:
    one = len(reading(100).model_dump_json()) + OVERHEAD_BYTES
    site.report.meter.zone = timezone(timedelta(hours=12 - datetime.now(UTC).hour))  # it is past noon there
    await site.start(Backlog(bytes_per_day=20 * one))
    await site.arrives(*await site.measure(5))
    await outage(site, 60)
    site.end.returns()
    await site.settles("mqtt", "mqtt-s66")  # live is beside the backlog
    for _ in range(2):
        await site.arrives(*await site.measure(7))
    await site.measure(30)
    await _event(site.bus, "budget-used-up")
    assert (await _state(site.bus)).budget_left == 0
    spent = len(site.end.got)
    assert set(site.end.got).isdisjoint(range(5, 65))  # live alone needs more than there is
    await site.measure(30)  # all within one slot of an hour

    def is_thinned() -> bool:
        return site.report.ledger.thinned >= 29

    await until(is_thinned, deadline_s=10, what="thinned readings")
    assert len(site.end.got) == spent
    site.clock.ahead_s += 86_400 + EXHAUSTED_LATENCY_S
    site.report.meter.budget_bytes = 0  # the site's owner has bought more
    await site.arrives(*range(65), deadline_s=30)


async def test_used_up_budget_does_not_thin_what_waits_when_uplink_starts_anew(site: Site) -> None:
    one = len(reading(100).model_dump_json()) + OVERHEAD_BYTES
    budget = Backlog(bytes_per_day=20 * one)
    site.report.meter.zone = timezone(timedelta(hours=12 - datetime.now(UTC).hour))
    await site.start(budget)
    await site.arrives(*await site.measure(5))
    await outage(site, 60)
    site.end.returns()
    await site.settles("mqtt", "mqtt-s66")
    await site.measure(30)
    await _event(site.bus, "budget-used-up")
    thinned = site.report.ledger.thinned
    await site.stop()
    await site.start(budget)
    await stays(lambda: site.report.ledger.thinned == thinned, for_s=3, what="nothing is left out")
    site.report.meter.budget_bytes = 0
    await site.arrives(*range(5, 65), deadline_s=30)


@pytest.mark.parametrize("limit", [{"bytes_per_day": 2000}, {"rate_limit_kbps": 1}], ids=["budget", "rate"])
async def test_limits_hold_for_what_is_behind_in_one_order(site: Site, limit: dict[str, int]) -> None:
    """60 readings are 5 kB, or 12 kB with what goes with each: 40 s at 1 kbit/s, and more than the budget."""
    await site.start(Backlog(order="oldest-first", **limit))
    await site.arrives(*await site.measure(5))
    await outage(site, 60)
    site.end.returns()
    await until(lambda: site.end.got[5:], deadline_s=10, what="the first of the backlog")
    await stays(lambda: len(site.end.got) < 40, for_s=5, what="the limit")
    assert site.report.ledger.thinned == 0
    site.pump.use(site.end, backlog=Backlog(order="oldest-first"))
    site.report.meter.budget_bytes = 0
    await site.arrives(*range(65), deadline_s=30)
    assert site.end.got == sorted(site.end.got)


def _has_stored(uplink: Uplink, count: int) -> bool:
    return len(uplink.stored()) == count


async def test_ledger_is_right_after_a_kill(nats: NatsServer, tmp_path: Path) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):

        async def is_right(last: int) -> bool:
            books = [link for link in (await ledger(api)).links if link.link == "history"]
            return [
                (each.last_seq, each.complete_to, each.delivered) for book in books for each in book.devices
            ] == [(last, last, last + 1)]

        for last in (99, 199, 299):
            await publish(reader, *(reading(n) for n in range(last - 99, last + 1)))
            await until(partial(_has_stored, uplink, last + 1), deadline_s=15, what="the block")
            if last > 99:  # it has written its book once
                await uplink.kill()
                await uplink.start()
            await until(partial(is_right, last), deadline_s=15, what=f"the ledger up to {last}")
        (link,) = [link for link in (await ledger(api)).links if link.link == "history"]
        assert link.missing == []


async def test_what_a_killed_uplink_had_in_hand_is_not_called_missing(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    settings = Mqtt(enabled=True, port=mosquitto.port, latency_s=0)
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):

        async def books() -> list[LinkLedger]:
            return [link for link in (await ledger(api)).links if link.link == "mqtt"]

        async def are_in_hand(count: int) -> bool:
            names = [name for name in await api.consumer_names(TELEMETRY) if name.startswith("mqtt")]
            consumers = [api.consumer(name, TELEMETRY, ack_wait_s=ACK_WAIT_S) for name in names]
            return [(await each.facts()).unacked for each in consumers] == [count]

        async def is_complete(last: int) -> bool:
            return [each.complete_to for book in await books() for each in book.devices] == [last]

        await configure(api, uplink, "mqtt", settings)
        await connected(api, "mqtt")
        await publish(reader, *(reading(n) for n in range(10)))
        await until(partial(is_complete, 9), deadline_s=15, what="the first ten")
        await until(partial(are_in_hand, 0), deadline_s=15, what="the broker to be past its forgetting")
        await mosquitto.stop()
        await publish(reader, *(reading(n) for n in range(10, 13)))

        await until(partial(are_in_hand, 3), deadline_s=15, what="three messages in hand")
        await uplink.kill()
        await publish(reader, *(reading(n) for n in range(13, 16)))
        await mosquitto.start()
        await uplink.start()
        await until(partial(is_complete, 15), deadline_s=30, what="all sixteen")
        assert [book.missing for book in await books()] == [[]]
