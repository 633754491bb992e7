"""uplink as a process against a real NATS server: every reading once, whatever is killed."""

import asyncio
from functools import partial
from pathlib import Path

from ccm_contracts.channels import EVENT, PLANT, TELEMETRY
from ccm_contracts.config.services import Historic
from ccm_contracts.messages import Event, reading_json
from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_kit.bus import Bus
from ccm_kit.nats_link import NatsLink
from tests.integration.uplink.site import (
    GATEWAY,
    START,
    Uplink,
    configure,
    connected,
    history,
    ledger,
    link_state,
    on_bus,
    publish,
    reading,
    stored,
    uplink_process,
)
from tests.support.nats import NatsServer
from tests.support.wait import until


def _holds_more_than(uplink: Uplink, number: int) -> bool:
    return len(uplink.stored()) > number


async def test_readings_published_before_and_after_the_start_are_stored(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with on_bus(nats, "bus-reader") as reader, on_bus(nats, "api") as api:
        await publish(reader, *(reading(n) for n in range(5)))
        async with uplink_process(nats, tmp_path) as uplink:
            await publish(reader, *(reading(n) for n in range(5, 10)))
            await stored(api, 9)
            assert uplink.stored() == list(range(10))
            query = HistoryQuery.model_validate(
                {"device": "grid", "from": START, "to": START.replace(hour=13), "metrics": ["p"]}
            )
            (series,) = (await history(api, query)).series
            assert [point[1] for point in series.points] == [10 * n for n in range(10)]
            assert (await connected(api, "history")).error is None
            await _nothing_waits(api)


async def test_kill_of_uplink_stores_every_reading_once(nats: NatsServer, tmp_path: Path) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):
        for block in range(2):
            first = block * 400
            sending = asyncio.create_task(publish(reader, *(reading(n) for n in range(first, first + 400))))
            await until(partial(_holds_more_than, uplink, first), deadline_s=15, what="some readings")
            await uplink.kill()
            await sending
            await uplink.start()
        await until(lambda: len(uplink.stored()) >= 800, deadline_s=20, what="all readings", interval_s=0.2)
        assert uplink.stored() == list(range(800))
        (row,) = (await ledger(api)).devices
        assert (row.first_seq, row.last_seq, row.readings) == (0, 799, 800)


async def test_kill_of_nats_stores_every_reading_once_and_soon(nats: NatsServer, tmp_path: Path) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):
        await publish(reader, *(reading(n) for n in range(50)))
        await until(lambda: len(uplink.stored()) == 50, deadline_s=15, what="the first readings")
        await nats.kill()
        await nats.start()
        for n in range(50, 100):
            reader.say(TELEMETRY, reading(n), msg_id=f"grid-{n}", device="grid")
        await until(lambda: len(uplink.stored()) == 100, deadline_s=10, what="the others")
        assert uplink.stored() == list(range(100))
        await connected(api, "history")


async def test_malformed_message_is_rejected_and_the_service_goes_on(
    nats: NatsServer, tmp_path: Path
) -> None:
    link = NatsLink(nats.url, user="", password="", name="bus-reader")
    async with (
        link,
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):
        await link.publish(f"ccm.{GATEWAY}.telemetry.grid", b'{"gateway": 7')
        early = reading_json(GATEWAY, "grid", START, {"p": 1.0}, 3)
        early = early.replace(b"2026-05-01T12:00:00.000Z", b"0001-01-01T00:00:00+02:00")
        await link.publish(f"ccm.{GATEWAY}.telemetry.grid", early)
        await publish(
            reader, reading(1, p=10**400), reading(2)
        )  # the first is sound JSON, but no database has it
        await until(lambda: uplink.stored() == [2], deadline_s=15, what="the good reading")

        async def rejected() -> Event | None:
            return await api.last(EVENT, source="uplink", kind="rejected")

        event = await until(rejected, deadline_s=5, what="a rejected event")
        assert event is not None
        assert event.data["subject"] == f"ccm.{GATEWAY}.telemetry.grid"
        await _nothing_waits(api)


async def test_history_switched_off_starts_from_then_on(nats: NatsServer, tmp_path: Path) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path) as uplink,
    ):
        await publish(reader, reading(1))
        await until(lambda: uplink.stored() == [1], deadline_s=15, what="the first reading")
        await configure(api, uplink, "historic", Historic(enabled=False))
        await _enabled(api, is_enabled=False)
        await _has_consumer(api, "history-off2")
        await publish(reader, reading(2))
        await configure(api, uplink, "historic", Historic(enabled=True))
        await _enabled(api, is_enabled=True)
        await _has_consumer(api, "history-s3-e1")
        await publish(reader, reading(3))
        await until(lambda: uplink.stored() == [1, 3], deadline_s=15, what="the third reading")


async def _enabled(api: Bus, *, is_enabled: bool) -> None:
    async def told() -> bool:
        state = await link_state(api, "history")
        return state is not None and state.enabled is is_enabled and state.connected

    await until(told, deadline_s=10, what=f"history enabled: {is_enabled}")


async def _has_consumer(api: Bus, name: str) -> None:
    async def is_there() -> bool:
        return name in await api.consumer_names(TELEMETRY)

    await until(is_there, deadline_s=10, what=f"the consumer {name}")


async def _nothing_waits(api: Bus) -> None:
    consumer = api.consumer("history", TELEMETRY, PLANT)

    async def idle() -> bool:
        return await consumer.pending() == 0

    await until(idle, deadline_s=10, what="an empty outbox")
