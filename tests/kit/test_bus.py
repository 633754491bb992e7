"""The bus on a real NATS server: what is followed, parked, configured, and what happens while the server is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccm_contracts.channels import CONFIG, EVENT, PLANT, TELEMETRY
from ccm_contracts.config.services import Historic, Mqtt
from ccm_contracts.messages import Reading
from ccm_contracts.types import Secret
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import SetOutput
from ccm_kit.bus import Bus, Seen
from ccm_kit.config_watch import Snapshot, snapshots
from ccm_kit.errors import BusDownError, RefusedError, UnavailableError
from ccm_kit.nats_link import NatsLink
from ccm_kit.secrets import SecretBox
from tests.kit.bus_rig import GATEWAY, all_seqs, bus_on, raw_publish, reading, rejected_events, say
from tests.support.nats import NatsServer, nats_server
from tests.support.wait import LEAST_S, until


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
