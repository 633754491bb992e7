"""QoS 1 and a broker that is killed with messages that it had confirmed and not passed on, or for nobody yet."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Bus
from tests.integration.uplink.site import (
    GATEWAY,
    Uplink,
    configure,
    connected,
    on_bus,
    publish,
    reading,
    uplink_process,
)
from tests.support.mosquitto import Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer
from tests.support.proxy import Proxy, proxy
from tests.support.wait import until
from tests.support.witness import Witness, witness

TOPIC = "/ccm/srv/telemetry/#"


@dataclass
class Rig:
    reader: Bus
    api: Bus
    uplink: Uplink
    broker: Mosquitto
    line: Proxy
    """From uplink to the broker."""
    sent: int = 0

    async def send(self, count: int) -> None:
        await publish(self.reader, *(reading(n) for n in range(self.sent, self.sent + count)))
        self.sent += count

    async def confirmed(self) -> None:
        """The broker's log, for the link's state is up to 5 s old: so long may a broker forget what it confirmed."""
        answer = re.compile(rf"Sending PUBACK to {GATEWAY} \(m([1-9]\d{{0,3}}), rc")
        await until(
            lambda: len(set(answer.findall(self.broker.log))) >= self.sent,
            deadline_s=20,
            what=f"{self.sent} confirmations",
        )

    async def arrived(self, listener: Witness) -> None:
        await until(lambda: set(seen(listener)) >= set(range(self.sent)), deadline_s=60, what="every reading")


def seen(listener: Witness) -> Counter[int]:
    return Counter(json.loads(payload)["seq"] for payload in list(listener.payloads))


@asynccontextmanager
async def rig(nats: NatsServer, directory: Path) -> AsyncIterator[Rig]:
    """The broker keeps nothing on disk."""
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        mosquitto_broker(directory / "broker") as broker,
        proxy(broker.port) as line,
        uplink_process(nats, directory / "uplink") as uplink,
    ):
        await configure(api, uplink, "mqtt", Mqtt(enabled=True, port=line.port, latency_s=0, qos=1))
        await connected(api, "mqtt")
        yield Rig(reader, api, uplink, broker, line)


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
        await made.arrived(listener)
        slow.stall()
        await made.send(60)  # Mosquitto has 20 on their way to a subscriber, and queues the others
        await made.confirmed()
        await made.broker.kill()
        if "uplink" in killed:
            await made.uplink.kill()
        slow.flow()
        await made.broker.start()
        if "uplink" in killed:
            await made.uplink.start()
        await made.send(1)
        await made.arrived(listener)


async def test_what_nobody_was_subscribed_to_arrives_when_somebody_subscribes(
    nats: NatsServer, tmp_path: Path
) -> None:
    """As after the kill of a broker whose subscriber comes back later than the gateway."""
    async with rig(nats, tmp_path) as made:
        await made.send(20)
        await made.confirmed()
        async with witness(made.broker.port, TOPIC, qos=1) as listener:
            await made.send(1)
            await made.arrived(listener)


async def test_broken_line_to_a_living_broker_repeats_nothing_that_was_confirmed(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        rig(nats, tmp_path) as made,
        witness(made.broker.port, TOPIC, qos=1) as listener,
    ):
        await made.send(10)
        await made.arrived(listener)
        await made.confirmed()
        before = made.line.connections
        made.line.cut()
        await until(lambda: made.line.connections > before, deadline_s=20, what="a new connection")
        await made.send(10)
        await made.arrived(listener)
        assert seen(listener) == Counter(range(20))
