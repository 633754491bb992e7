"""QoS 2 through a line that is cut at random bytes, a broker that is restarted and an uplink that is killed: once each.

The broker is a Mosquitto that keeps its sessions on disk.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.uplink.mqtt_rig import MqttRig, mqtt_rig, seen
from tests.support.mosquitto import BrokerOptions
from tests.support.nats import NatsServer
from tests.support.wait import until
from tests.support.witness import Witness, witness

TOPICS = ("/site/srv/telemetry/grid", "/site/srv/batch/telemetry")


@dataclass
class Rig(MqttRig):
    witness: Witness = field(kw_only=True)

    def is_witness_even(self) -> bool:
        """Whether the broker owes the witness nothing: a restart of Mosquitto 2.0.11 repeats half of a handshake as if
        it were new, to the witness, which is no repeat of ours.
        """
        log = self.broker.log
        sent, taken = log.count("Sending PUBLISH to witness"), log.count("Received PUBCOMP from witness")
        return sent == taken

    def doubled(self) -> dict[int, int]:
        return {seq: count for seq, count in seen(self.witness).items() if count > 1}


@asynccontextmanager
async def rig(nats: NatsServer, directory: Path, **more: Any) -> AsyncIterator[Rig]:
    # Mosquitto drops what it cannot queue for an absent witness: 0 is without limit
    options = BrokerOptions(is_persistent=True, extra="max_queued_messages 0\nlog_type all")
    async with mqtt_rig(nats, directory, options) as parts, witness(parts.broker.port, *TOPICS) as heard:
        await parts.begin(qos=2, prefix_sub="/site/srv", prefix_pub="/site/dev", **more)
        yield Rig(parts.reader, parts.api, parts.uplink, parts.broker, parts.line, witness=heard)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_killed_uplink_finishes_its_handshakes(nats: NatsServer, tmp_path: Path, protocol: str) -> None:
    """Each answer of the broker is lost in turn, and uplink is killed while it waits for it."""
    async with rig(nats, tmp_path, protocol=protocol) as made:
        await made.send(5)
        await made.all_arrived(made.witness, deadline_s=90)
        for answer in (b"\x50", b"\x70"):  # PUBREC, PUBCOMP
            made.line.down.lose_at = answer
            await made.send(5)
            await until(lambda: made.line.down.lose_at is None, deadline_s=10, what="a lost answer")
            await made.uplink.kill()
            await made.uplink.start()
        await made.all_arrived(made.witness, deadline_s=90)
        assert made.doubled() == {}


@pytest.mark.parametrize("batched", [False, True])
async def test_each_reading_arrives_once_whatever_dies(
    nats: NatsServer, tmp_path: Path, *, batched: bool
) -> None:
    dice = random.Random(20 + batched)
    async with rig(nats, tmp_path, batch={"enabled": batched, "max_messages": 7}) as made:
        for _ in range(6):
            sending = asyncio.create_task(made.send(100), name="readings")
            await _misfortune(made, dice)
            await sending
        made.line.up.cut_after_bytes = made.line.down.cut_after_bytes = None
        await made.all_arrived(made.witness, deadline_s=90)
        assert made.doubled() == {}


async def _misfortune(made: Rig, dice: random.Random) -> None:
    async def kill_uplink() -> None:
        await made.uplink.kill()
        await made.uplink.start()

    async def restart_broker() -> None:
        made.line.refuse()
        made.line.cut()
        await until(made.is_witness_even, deadline_s=30, what="the witness to have finished its handshakes")
        await made.broker.stop()
        await made.broker.start()
        await until(lambda: "as witness" in made.broker.log, deadline_s=30, what="the witness")
        await made.line.start()

    async def cut() -> None:
        made.line.cut()

    async def cut_requests() -> None:
        made.line.up.cut_after_bytes = dice.randrange(50, 4000)

    async def cut_answers() -> None:
        made.line.down.cut_after_bytes = dice.randrange(4, 120)

    kinds: list[Callable[[], Awaitable[None]]] = [kill_uplink, restart_broker, cut, cut_requests, cut_answers]
    before = sum(seen(made.witness).values())
    await until(
        lambda: sum(seen(made.witness).values()) > before + dice.randrange(1, 30),
        deadline_s=60,
        what="traffic",
    )
    for kind in dice.sample(kinds, 2):
        await kind()
