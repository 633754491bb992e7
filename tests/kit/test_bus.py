"""The bus on a real NATS server: what is said arrives once and in order, whatever happens to the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.channels import CONFIG, EVENT, OUTPUT_STATE, PLANT, SERVICE_STATE, TELEMETRY, Service
from ccm_contracts.config.services import Historic, Mqtt
from ccm_contracts.messages import Command, Event, Reading
from ccm_contracts.state import OutputState, ServiceState
from ccm_contracts.types import Secret
from ccm_contracts.verb_table import DEVICE_COMMAND, HISTORY, SET_OUTPUT
from ccm_contracts.verbs.bus_reader import DeviceCommand
from ccm_contracts.verbs.io import OutputDone, SetOutput
from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_kit.bus import Answer, Bus, Consumer, Seen, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.config_watch import Snapshot, snapshots
from ccm_kit.errors import BusDownError, RefusedError, UnavailableError
from ccm_kit.nats_link import NatsLink
from ccm_kit.secrets import SecretBox
from tests.support.nats import NatsServer, nats_server
from tests.support.wait import LEAST_S, until

GATEWAY = "GW1"
CLOCK = SystemClock()
"""Everything comes back by itself within this time (issue 2)."""


@asynccontextmanager
async def bus_on(server: NatsServer, service: Service = "bus-reader") -> AsyncIterator[Bus]:
    link = NatsLink(server.url, user="", password="", name=service)
    async with link, open_bus(link, service=service, gateway=GATEWAY, clock=CLOCK, version="0.1.0") as bus:
        yield bus


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with bus_on(nats) as opened:
        yield opened


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


async def test_said_messages_arrive_in_order(bus: Bus) -> None:
    for seq in range(200):
        say(bus, seq)
    assert await all_seqs(bus.consumer("test", TELEMETRY), 199) == list(range(200))


async def test_message_id_is_stored_once(bus: Bus) -> None:
    for _ in range(3):
        await bus.publish(TELEMETRY, reading(1), msg_id="grid-1", device="grid")
    await bus.publish(TELEMETRY, reading(2), msg_id="grid-2", device="grid")
    assert await all_seqs(bus.consumer("test", TELEMETRY), 2) == [1, 2]


async def test_last_is_the_newest_or_none(bus: Bus) -> None:
    assert await bus.last(TELEMETRY, device="grid") is None
    for seq in (1, 2):
        await bus.publish(TELEMETRY, reading(seq), device="grid")
    newest = await bus.last(TELEMETRY, device="grid")
    assert newest is not None
    assert newest.seq == 2


async def test_follow_gives_newest_of_each_then_a_mark_then_what_comes(bus: Bus) -> None:
    for seq in (1, 2):
        await bus.publish(TELEMETRY, reading(seq), device="grid")
    await bus.publish(TELEMETRY, reading(7, "roof"), device="roof")
    following = bus.follow(TELEMETRY)
    first = [await anext(following) for _ in range(3)]
    assert [(seen.ids.get("device"), seen.message and seen.message.seq) for seen in first[:2]] == [
        ("grid", 2),
        ("roof", 7),
    ]
    assert first[2].caught_up
    await bus.publish(TELEMETRY, reading(3), device="grid")
    later = await anext(following)
    assert later.message is not None
    assert later.message.seq == 3


async def test_follow_of_nothing_is_caught_up_at_once(bus: Bus) -> None:
    async with asyncio.timeout(LEAST_S):
        assert (await anext(bus.follow(PLANT))).caught_up


async def test_follow_resumes_after_the_server_was_killed(nats: NatsServer) -> None:
    async with bus_on(nats) as bus:
        await bus.publish(TELEMETRY, reading(1), device="grid")
        seen: list[Seen[Reading]] = []

        async def note() -> None:
            async for each in bus.follow(TELEMETRY):
                seen.append(each)  # noqa: PERF401 - the list is looked at while it grows

        following = asyncio.create_task(note(), name="test.follow")
        await until(lambda: any(each.caught_up for each in seen), deadline_s=5, what="the first snapshot")
        await nats.kill()
        await nats.start()
        say(bus, 2)
        await until(
            lambda: [each.message.seq for each in seen if each.message] == [1, 2],
            deadline_s=LEAST_S,
            what="the reading after the restart",
        )
        following.cancel()


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


async def test_unacknowledged_message_is_pending_until_acknowledged(bus: Bus) -> None:
    await bus.publish(TELEMETRY, reading(1), device="grid")
    consumer = bus.consumer("test", TELEMETRY)
    [delivery] = await consumer.fetch(10, 2)
    assert await consumer.pending() == 1
    await delivery.ack()

    async def none_pending() -> bool:
        return await consumer.pending() == 0

    await until(none_pending, deadline_s=5, what="the acknowledgement")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"\xff not json", None),
        (b'{"gateway": "GW1", "device": "grid"}', "ts"),
        (
            b'{"gateway": "GW1", "device": "roof", "ts": "2026-05-01T12:00:00Z", "values": {}, "seq": 1}',
            "device",
        ),
    ],
    ids=["not-json", "field-missing", "other-device"],
)
async def test_malformed_message_is_parked_with_its_reason(
    bus: Bus, payload: bytes, field: str | None
) -> None:
    subject = TELEMETRY.subject(gw=GATEWAY, device="grid")
    await raw_publish(bus, subject, payload)
    await bus.publish(TELEMETRY, reading(2), device="grid")
    assert await all_seqs(bus.consumer("test", TELEMETRY), 2) == [2]
    [event] = await rejected_events(bus)
    assert (event.source, event.data["subject"], event.data["field"]) == ("bus-reader", subject, field)


async def test_storm_of_malformed_messages_is_reported_a_bounded_number_of_times(bus: Bus) -> None:
    subject = TELEMETRY.subject(gw=GATEWAY, device="grid")
    for _ in range(60):
        await raw_publish(bus, subject, b"{}")
    await bus.publish(TELEMETRY, reading(2), device="grid")
    await all_seqs(bus.consumer("test", TELEMETRY), 2)
    await bus.outbox.flushed()
    events = await bus.consumer("events", EVENT).fetch(100, 1)
    assert len(events) == 20


def output_state(value: float) -> OutputState:
    return OutputState(output="relay-1", value=value, since=CLOCK.now(), reason="test")


async def serve_output(bus: Bus) -> list[float]:
    """Answers SET_OUTPUT; the list grows with what took effect."""
    acted: list[float] = []

    async def act(args: SetOutput, command: Command[SetOutput]) -> OutputDone:
        if args.value > 1:
            raise RefusedError("a relay is 0 or 1", code="bad-value", field="value")
        acted.append(args.value)
        return OutputDone(state=output_state(args.value))

    await bus.serve(Answer(SET_OUTPUT, act))
    return acted


async def test_call_returns_the_owners_result(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        done = await bus.call(SET_OUTPUT, SetOutput(output="relay-1", value=1), issued_by="test")
        assert done.state.value == 1
        assert acted == [1]


async def test_repeated_command_acts_once_and_gets_the_first_answer(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        answers = await asyncio.gather(
            *(
                bus.call(
                    SET_OUTPUT, SetOutput(output="relay-1", value=1), issued_by="test", command_id="once"
                )
                for _ in range(5)
            )
        )
        assert acted == [1]
        assert len({answer.model_dump_json() for answer in answers}) == 1


async def test_refusal_carries_code_and_field(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        await serve_output(io)
        with pytest.raises(RefusedError) as refused:
            await bus.call(SET_OUTPUT, SetOutput(output="relay-1", value=5), issued_by="test")
        assert (refused.value.code, refused.value.field) == ("bad-value", "value")


async def test_command_after_its_deadline_does_not_act(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        with pytest.raises(RefusedError) as refused:
            await bus.call(
                SET_OUTPUT,
                SetOutput(output="relay-1", value=1),
                issued_by="test",
                deadline=CLOCK.now() - timedelta(seconds=1),
            )
        assert refused.value.code == "expired"
        assert acted == []


async def test_malformed_command_is_refused_with_its_field_and_reported(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        await serve_output(io)
        answer = await bus._link.request(
            SET_OUTPUT.subject(GATEWAY),
            b'{"command_id": "c1", "issued_by": "x", "args": {"output": "relay-9", "value": 1}}',
            2,
        )
        assert b'"code":"malformed"' in answer
        assert b'"field":"args.output"' in answer
        [event] = await rejected_events(bus)
        assert event.data["field"] == "args.output"


async def test_call_of_a_service_that_does_not_run_says_so(bus: Bus) -> None:
    query = HistoryQuery(device="grid", start=CLOCK.now(), end=CLOCK.now())
    with pytest.raises(UnavailableError, match="does not run"):
        await bus.call(HISTORY, query, issued_by="test")


async def test_error_inside_a_handler_is_answered_and_the_service_goes_on(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "solar") as owner:

        async def act(args: DeviceCommand, command: Command[DeviceCommand]) -> Any:
            raise ZeroDivisionError

        await owner.serve(Answer(DEVICE_COMMAND, act))
        for _ in range(2):
            with pytest.raises(RefusedError) as refused:
                await bus.call(
                    DEVICE_COMMAND, DeviceCommand(device="grid", name="limit", value=1), issued_by="test"
                )
            assert refused.value.code == "internal"


async def test_service_answers_again_after_the_server_was_killed(nats: NatsServer) -> None:
    async with bus_on(nats, "io") as io, bus_on(nats) as caller:
        await serve_output(io)
        await nats.kill()
        await nats.start()

        async def answered() -> bool:
            try:
                await caller.call(SET_OUTPUT, SetOutput(output="relay-1", value=0), issued_by="test")
            except UnavailableError:
                return False
            return True

        await until(answered, deadline_s=LEAST_S, what="an answer after the restart")


async def test_configuration_is_written_only_over_the_known_revision(bus: Bus, tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "secret.key")
    revision = await bus.write_config("timezone", "Europe/Madrid", seal=box.seal, revision=0)
    with pytest.raises(RefusedError) as refused:
        await bus.write_config("timezone", "UTC", seal=box.seal, revision=0)
    assert refused.value.code == "conflict"
    assert await bus.write_config("timezone", "UTC", seal=box.seal, revision=revision) > revision


async def next_snapshot(watching: AsyncIterator[Snapshot]) -> Snapshot:
    async with asyncio.timeout(LEAST_S):
        return await anext(watching)


async def test_secrets_are_sealed_in_the_bucket_and_open_in_the_snapshot(bus: Bus, tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "secret.key")
    await bus.write_config("mqtt", Mqtt(password=Secret("hunter2")), seal=box.seal)
    raw = await bus._link.last(CONFIG["mqtt"].stream, CONFIG["mqtt"].subject(gw=GATEWAY))
    assert raw is not None
    assert raw.data is not None
    assert b"hunter2" not in raw.data
    snapshot = await next_snapshot(snapshots(bus, box))
    assert snapshot.document.mqtt.password.reveal() == "hunter2"
    assert snapshot.revisions == {"mqtt": raw.seq}


async def test_sections_of_others_need_no_key(bus: Bus, tmp_path: Path) -> None:
    await bus.write_config("mqtt", Mqtt(password=Secret("x")), seal=SecretBox(tmp_path / "key").seal)
    keyless = SecretBox(tmp_path / "absent" / "key")
    await next_snapshot(snapshots(bus, keyless, ("devices", "ports")))
    await bus.outbox.flushed()
    assert await bus.last(EVENT, source="bus-reader", kind="rejected") is None
    assert not (tmp_path / "absent").exists()


async def test_invalid_section_is_refused_and_the_old_one_stays(bus: Bus, tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "secret.key")
    await bus.write_config("timezone", "Europe/Madrid", seal=box.seal)
    watching = snapshots(bus, box)
    assert (await next_snapshot(watching)).document.timezone == "Europe/Madrid"
    await raw_publish(bus, CONFIG["timezone"].subject(gw=GATEWAY), b'"Mars/Olympus"')
    await bus.write_config("historic", Historic(enabled=False), seal=box.seal)
    after = await next_snapshot(watching)
    assert (after.document.timezone, after.document.historic.enabled) == ("Europe/Madrid", False)
    [event] = await rejected_events(bus)
    assert "Mars/Olympus" in event.message


async def test_link_waits_for_a_server_that_comes_later(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "late") as server:
        await server.stop()
        opening = asyncio.create_task(_publish_one(server), name="test.opening")
        await server.start()
        assert await asyncio.wait_for(opening, LEAST_S) == 1


async def _publish_one(server: NatsServer) -> int:
    async with bus_on(server) as bus:
        return await bus.publish(TELEMETRY, reading(1), device="grid")


async def test_wrong_password_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with nats_server(
        tmp_path / "locked", config='authorization { user: "io", password: "right" }'
    ) as server:
        link = NatsLink(server.url, user="io", password="wrong", name="io")
        entering = asyncio.create_task(link.__aenter__(), name="test.entering")
        await until(lambda: "NATS refuses" in caplog.text, deadline_s=5, what="the warning")
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
    assert caplog.text.count("NATS refuses") == 1
    assert "wrong" not in caplog.text


async def test_asking_while_the_server_is_away_ends_soon_and_says_so(nats: NatsServer) -> None:
    async with bus_on(nats) as bus:
        await nats.kill()
        async with asyncio.timeout(LEAST_S):
            with pytest.raises(BusDownError):
                await bus.consumer("test", TELEMETRY).fetch(1, 1)
        async with asyncio.timeout(LEAST_S):
            with pytest.raises(UnavailableError):
                await bus.call(SET_OUTPUT, SetOutput(output="relay-1", value=1), issued_by="test")
        async with asyncio.timeout(LEAST_S):
            with pytest.raises(BusDownError):
                await bus.last(TELEMETRY, device="grid")
        await nats.start()
