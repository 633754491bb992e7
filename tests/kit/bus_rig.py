"""What the tests of the bus share: a bus on a real NATS server, and what they say and hear on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_contracts.channels import EVENT, TELEMETRY, Service
from ccm_contracts.messages import Event, Reading
from ccm_kit.bus import Bus, Consumer, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.errors import BusDownError
from ccm_kit.nats_link import NatsLink
from tests.support.nats import NatsServer
from tests.support.wait import LEAST_S

GATEWAY = "GW1"
CLOCK = SystemClock()


@asynccontextmanager
async def bus_on(server: NatsServer, service: Service = "bus-reader") -> AsyncIterator[Bus]:
    link = NatsLink(server.url, user="", password="", name=service)
    async with link, open_bus(link, service=service, gateway=GATEWAY, clock=CLOCK, version="0.1.0") as bus:
        yield bus


def reading(seq: int, device: str = "grid") -> Reading:
    return Reading(gateway=GATEWAY, device=device, ts=CLOCK.now(), values={"p": seq}, seq=seq)


def say(bus: Bus, seq: int, device: str = "grid") -> None:
    bus.say(TELEMETRY, reading(seq, device), msg_id=f"{device}-{seq}", device=device)


async def rejected_events(bus: Bus, count: int = 1) -> list[Event]:
    """The first `count` events of kind `rejected`."""
    found: list[Event] = []
    async with asyncio.timeout(LEAST_S):
        async for seen in bus.follow(EVENT, kind="rejected"):
            if seen.message is not None:
                found.append(seen.message)
            if len(found) == count:
                return found
    raise AssertionError("the following ended")


async def all_seqs(consumer: Consumer, last: int) -> list[int]:
    """Every sequence number that the stream holds, in its order, up to `last`."""
    seqs: list[int] = []
    async with asyncio.timeout(LEAST_S):
        while not seqs or seqs[-1] != last:
            try:
                deliveries = await consumer.fetch(500, 0.5)
            except BusDownError:
                continue
            for each in deliveries:
                seqs.append(each.message.seq)
                await each.ack()
    return seqs


async def raw_publish(bus: Bus, subject: str, data: bytes) -> None:
    await bus._link.publish(subject, data)
