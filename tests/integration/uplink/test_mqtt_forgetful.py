"""QoS 1 and a broker that is killed with messages that it had confirmed and not passed on, or for nobody yet."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.services import Mqtt
from ccm_uplink.intake import ACK_WAIT_S
from tests.integration.uplink.mqtt_rig import MqttRig, mqtt_rig, seen
from tests.integration.uplink.site import GATEWAY, configure, ledger, on_bus
from tests.support.nats import NatsServer
from tests.support.proxy import proxy
from tests.support.wait import until
from tests.support.witness import witness

TOPIC = "/ccm/srv/telemetry/#"


@asynccontextmanager
async def rig(nats: NatsServer, directory: Path) -> AsyncIterator[MqttRig]:
    """The broker keeps nothing on disk."""
    async with mqtt_rig(nats, directory) as made:
        await made.begin(qos=1)
        yield made


async def confirmed(made: MqttRig) -> None:
    """The broker's log, for the link's state is up to 5 s old: so long may a broker forget what it confirmed."""
    answer = re.compile(rf"Sending PUBACK to {GATEWAY} \(m([1-9]\d{{0,3}}), rc")
    await until(
        lambda: len(set(answer.findall(made.broker.log))) >= made.sent,
        deadline_s=20,
        what=f"{made.sent} confirmations",
    )


async def booked(made: MqttRig) -> None:
    """uplink knows that every reading is confirmed."""

    async def is_complete() -> bool:
        books = [book for book in (await ledger(made.api)).links if book.link == "mqtt"]
        return [each.complete_to for book in books for each in book.devices] == [made.sent - 1]

    await until(is_complete, deadline_s=20, what="the ledger of MQTT to be complete", interval_s=0.2)


@pytest.mark.parametrize("killed", ["broker", "broker and uplink"])
async def test_what_a_killed_broker_had_confirmed_and_not_passed_on_arrives(
    nats: NatsServer, tmp_path: Path, killed: str
) -> None:
    async with (
        rig(nats, tmp_path) as made,
        proxy(made.broker.port) as slow,
        witness(slow.port, TOPIC, qos=1) as listener,
    ):
        await made.send(1)
        await made.all_arrived(listener)
        slow.stall()
        await made.send(60)  # Mosquitto has 20 on their way to a subscriber, and queues the others
        await confirmed(made)
        await made.broker.kill()
        if "uplink" in killed:
            await made.uplink.kill()
        slow.flow()
        await made.broker.start()
        if "uplink" in killed:
            await made.uplink.start()
        await made.send(1)
        await made.all_arrived(listener)


async def test_what_nobody_was_subscribed_to_arrives_when_somebody_subscribes(
    nats: NatsServer, tmp_path: Path
) -> None:
    """As after the kill of a broker whose subscriber comes back later than the gateway."""
    async with rig(nats, tmp_path) as made:
        await made.send(20)
        await confirmed(made)
        async with witness(made.broker.port, TOPIC, qos=1) as listener:
            await made.send(1)
            await made.all_arrived(listener)


async def test_broken_line_to_a_living_broker_repeats_nothing_that_was_confirmed(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        rig(nats, tmp_path) as made,
        witness(made.broker.port, TOPIC, qos=1) as listener,
    ):
        await made.send(10)
        await made.all_arrived(listener)
        await booked(made)
        before = made.line.connections
        made.line.cut()
        await until(lambda: made.line.connections > before, deadline_s=20, what="a new connection")
        await made.send(10)
        await made.all_arrived(listener)
        assert seen(listener) == Counter(range(20))


@pytest.mark.parametrize("given", [{"qos": 1}, {"qos": 2}, {"enabled": False}], ids=["qos-1", "qos-2", "off"])
async def test_settings_that_change_while_the_broker_is_away_leave_nothing_in_hand(
    nats: NatsServer, tmp_path: Path, given: dict[str, Any]
) -> None:
    """What the broker had confirmed last would hold its segment, and all that follows it, for ever."""
    async with (
        rig(nats, tmp_path) as made,
        on_bus(nats, "uplink") as own,
        witness(made.broker.port, TOPIC, qos=1) as listener,
    ):
        await made.send(10)
        await made.all_arrived(listener)
        made.line.refuse()
        made.line.cut()
        settings = {"enabled": True, "port": made.line.port, "latency_s": 0, "keepalive_s": 61, **given}
        await configure(made.api, made.uplink, "mqtt", Mqtt.model_validate(settings))
        await made.line.start()
        owed = own.consumer("mqtt", TELEMETRY, ack_wait_s=ACK_WAIT_S)

        async def is_nothing_in_hand() -> bool:
            return (await owed.facts()).unacked == 0

        await until(
            is_nothing_in_hand, deadline_s=30, what="every reading to be acknowledged", interval_s=0.5
        )
