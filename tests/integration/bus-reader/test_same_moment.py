"""Readings that were read at one moment, after a stall of the machine, on a real bus."""

from datetime import UTC, datetime, timedelta

from ccm_bus_reader.reports import BusReports
from ccm_contracts.channels import TELEMETRY
from ccm_kit.bus import Delivery, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from tests.support.nats import NatsServer

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def test_readings_of_one_moment_keep_times_of_their_own(nats: NatsServer) -> None:
    """The history has one value of a device and moment: with the same time one of two would be lost."""
    link = NatsLink(nats.url, user="", password="", name="bus-reader")
    async with (
        link,
        open_bus(link, service="bus-reader", gateway="GW1", clock=SystemClock(), version="0.0.0") as bus,
    ):
        reports = BusReports(bus)
        taken = [0, 100, 100, 100, 101, 200, -30_000]  # ms; the clock was set back at the end
        for number, ms in enumerate(taken):
            reports.reading("grid", NOON + timedelta(milliseconds=ms, microseconds=300), {"p": number})
        await bus.outbox.flushed()
        found: list[Delivery] = []
        consumer = bus.consumer("history", TELEMETRY)
        while len(found) < len(taken):
            found += await consumer.fetch(10)
        stamps = [(each.message.ts - NOON) / timedelta(milliseconds=1) for each in found]
        assert stamps == [0, 100, 101, 102, 103, 200, -30_000]
        assert [each.message.values["p"] for each in found] == list(range(7))
        await consumer.close()
