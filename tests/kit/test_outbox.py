"""What a service says arrives once and in order, whatever happens to the server, or is told."""

import asyncio

from ccm_contracts.channels import EVENT, OUTPUT_STATE, SERVICE_STATE, TELEMETRY
from ccm_contracts.messages import Reading
from ccm_contracts.state import OutputState, ServiceState
from ccm_kit.bus import Bus
from tests.kit.bus_rig import CLOCK, GATEWAY, all_seqs, bus_on, reading, rejected_events, say
from tests.support.nats import NatsServer
from tests.support.wait import LEAST_S, until


async def test_said_messages_arrive_in_order(bus: Bus) -> None:
    for seq in range(200):
        say(bus, seq)
    assert await all_seqs(bus.consumer("test", TELEMETRY), 199) == list(range(200))


async def test_message_id_is_stored_once(bus: Bus) -> None:
    for _ in range(3):
        await bus.publish(TELEMETRY, reading(1), msg_id="grid-1", device="grid")
    await bus.publish(TELEMETRY, reading(2), msg_id="grid-2", device="grid")
    assert await all_seqs(bus.consumer("test", TELEMETRY), 2) == [1, 2]


async def test_every_message_once_and_in_order_when_the_server_is_killed(nats: NatsServer) -> None:
    count, kill_at = 400, (100, 250)
    async with bus_on(nats) as bus:
        for seq in range(count):
            say(bus, seq)
            if seq in kill_at:
                await nats.kill()
                await nats.start()
            await asyncio.sleep(0)
        await asyncio.wait_for(bus.outbox.flushed(), LEAST_S)
        assert await all_seqs(bus.consumer("test", TELEMETRY), count - 1) == list(range(count))
        assert bus.outbox.dropped == 0


async def test_many_on_their_way_at_once_keep_the_order_of_each_device_when_the_server_is_killed(
    nats: NatsServer,
) -> None:
    devices, count, kill_at = [f"d{number}" for number in range(100)], 30, (5, 15)
    async with bus_on(nats) as bus:
        for seq in range(count):
            for device in devices:
                say(bus, seq, device)
            await asyncio.sleep(0)
            if seq in kill_at:
                await nats.kill()
                await nats.start()
        await asyncio.wait_for(bus.outbox.flushed(), LEAST_S)
        stored: dict[str, list[int]] = {device: [] for device in devices}
        consumer = bus.consumer("test", TELEMETRY)
        while deliveries := await consumer.fetch(5000, 0.5):
            for each in deliveries:
                stored[each.message.device].append(each.message.seq)
            await consumer.ack(deliveries)
        assert stored == {device: list(range(count)) for device in devices}


async def test_what_was_said_while_the_server_was_away_arrives_afterwards(nats: NatsServer) -> None:
    async with bus_on(nats) as bus:
        await nats.kill()
        for seq in range(50):
            say(bus, seq)
        await nats.start()
        assert await all_seqs(bus.consumer("test", TELEMETRY), 49) == list(range(50))


async def test_message_that_the_bus_never_takes_holds_up_nothing_and_is_told(bus: Bus) -> None:
    """The telemetry stream takes 64 KiB, the server 1 MB (docs/asyncapi.yaml)."""
    say(bus, 1)
    for seq, length in ((2, 70_000), (3, 2_000_000)):
        large = Reading(
            gateway=GATEWAY, device="grid", ts=CLOCK.now(), values={"status": "x" * length}, seq=seq
        )
        bus.say(TELEMETRY, large, msg_id=f"grid-{seq}", device="grid")
    say(bus, 4)
    assert await all_seqs(bus.consumer("test", TELEMETRY), 4) == [1, 4]
    await bus.outbox.flushed()
    events = [each.message for each in await bus.consumer("events", EVENT).fetch(10, 2)]
    assert [event.data["subject"] for event in events] == [TELEMETRY.subject(gw=GATEWAY, device="grid")] * 2
    assert "are more than the bus takes" in events[0].message


async def test_state_that_the_bus_never_takes_holds_up_no_other(bus: Bus) -> None:
    for output, length in (("relay-1", 600_000), ("relay-2", 10)):
        state = OutputState(output=output, value=1, since=CLOCK.now(), reason="x" * length)
        bus.state(OUTPUT_STATE, state, id=output)

    async def stored() -> OutputState | None:
        return await bus.last(OUTPUT_STATE, id="relay-2")

    await until(stored, deadline_s=5, what="the other state")
    assert len(await rejected_events(bus)) == 1


async def test_state_keeps_only_the_newest(bus: Bus) -> None:
    for pid in (1, 2, 3):
        state = ServiceState(
            service="io", instance="io", version="0", ts=CLOCK.now(), started=CLOCK.now(), pid=pid
        )
        bus.state(SERVICE_STATE, state, id="io")
    await bus.outbox.flushed()
    newest = await bus.last(SERVICE_STATE, id="io")
    assert newest is not None
    assert newest.pid == 3
