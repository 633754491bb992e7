"""QoS 2 cut at each step of its handshake; the broker keeps the session, loses it, or has an older state of it.

Steps and what both sides do after a break: MQTT 5 sections 4.3.3 and 4.4.
"""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_uplink.sinks.mqtt_store import SessionStore
from tests.integration.uplink.mqtt_rig import MqttRig, mqtt_rig, seen
from tests.integration.uplink.site import link_state
from tests.support.mosquitto import BrokerOptions
from tests.support.mqtt_cut import PUBCOMP, PUBLISH_2, PUBREC, PUBREL, Cut
from tests.support.nats import NatsServer
from tests.support.proxy import Direction
from tests.support.wait import until
from tests.support.witness import Witness, witness

TOPIC: Final = "/ccm/srv/telemetry/#"
SAVED_ON_REQUEST: Final = "persistence true\nautosave_interval 3600\nlog_type all\npersistence_location "
STEPS: Final[dict[str, tuple[Direction, tuple[int, ...], bool]]] = {
    "PUBLISH lost": ("up", PUBLISH_2, False),
    "PUBREC lost": ("down", PUBREC, False),
    "PUBREL not sent": ("down", PUBREC, True),
    "PUBREL lost": ("up", PUBREL, False),
    "PUBCOMP lost": ("down", PUBCOMP, False),
}


@dataclass
class Rig(MqttRig):
    witness: Witness = field(kw_only=True)

    async def arrived(self) -> None:
        await self.all_arrived(self.witness)

    def seen(self) -> Counter[int]:
        return seen(self.witness)

    async def send_and_cut(self, way: Direction, kinds: tuple[int, ...], passes: bool = False) -> None:
        """One more reading; the line is cut at this packet of its handshake, before it or after it."""
        cut = Cut(self.line, way, kinds, passes=passes)
        await self.send()
        await cut.done()

    async def kill_broker(self) -> None:
        """It starts again with what it had saved; the witness is back first."""
        self.line.refuse()
        self.line.cut()
        await self.broker.kill()
        await self.broker.start()
        await until(lambda: "as witness" in self.broker.log, deadline_s=30, what="the witness")
        await self.line.start()

    async def save(self) -> None:
        """mosquitto(8): it saves its state on SIGUSR1."""
        before = self.broker.log.count("Saving in-memory database")
        os.kill(self.broker.pid, signal.SIGUSR1)
        await until(
            lambda: self.broker.log.count("Saving in-memory database") > before,
            deadline_s=10,
            what="the broker to save",
        )


@asynccontextmanager
async def rig(nats: NatsServer, directory: Path, *, saves: bool = False) -> AsyncIterator[Rig]:
    """Reading 0 has arrived, and nothing is on its way any more: the event of uplink's start may be a message, too."""
    options = BrokerOptions(extra=f"{SAVED_ON_REQUEST}{directory}/broker/") if saves else None
    async with mqtt_rig(nats, directory, options) as parts, witness(parts.broker.port, TOPIC) as heard:
        await parts.begin(qos=2)
        made = Rig(parts.reader, parts.api, parts.uplink, parts.broker, parts.line, witness=heard)
        await made.send()
        await made.arrived()

        async def is_quiet() -> bool:
            state = await link_state(made.api, "mqtt")
            return state is not None and state.delivered >= 1 and state.pending == 0

        await until(is_quiet, deadline_s=20, what="an empty outbox")
        yield made


@pytest.mark.parametrize("step", STEPS)
async def test_kept_session_makes_each_cut_handshake_arrive_once(
    nats: NatsServer, tmp_path: Path, step: str
) -> None:
    async with rig(nats, tmp_path) as made:
        await made.send_and_cut(*STEPS[step])
        await made.line.start()
        await made.send()
        await made.arrived()
        assert made.seen() == Counter([0, 1, 2])


@pytest.mark.parametrize("step", STEPS)
async def test_lost_session_loses_nothing_and_repeats_only_what_lacked_its_pubcomp(
    nats: NatsServer, tmp_path: Path, step: str
) -> None:
    async with rig(nats, tmp_path) as made:
        await made.send_and_cut(*STEPS[step])
        if step == "PUBCOMP lost":
            await made.arrived()
        await made.kill_broker()
        await made.send()
        await made.arrived()
        # Mosquitto hands a message on at its PUBREL: only then the broker may have done what we were not told of.
        assert made.seen()[1] == (2 if step == "PUBCOMP lost" else 1)


async def test_broker_with_an_older_state_gets_again_what_it_was_not_told_to_release(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with rig(nats, tmp_path, saves=True) as made:
        await made.save()
        cut = Cut(made.line, "down", PUBREC, passes=True, ends_in_order=True, client_pid=made.uplink.pid)
        await made.send()
        await cut.done()
        await made.kill_broker()
        await made.send()
        await made.arrived()
        assert made.seen() == Counter([0, 1, 2])


async def test_handshake_that_was_finished_is_not_taken_up_again_after_a_kill_of_both(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with rig(nats, tmp_path, saves=True) as made:
        await made.send_and_cut("up", PUBREL)
        await made.save()
        await made.line.start()
        await made.arrived()

        def is_noted() -> bool:
            (file,) = tmp_path.glob("uplink/**/mqtt-session-*.log")
            noted = SessionStore(Path(shutil.copy(file, tmp_path / "copy.log")))
            noted.load()
            readings = [key for key in noted.finished if key[0] == TELEMETRY.stream]
            return len(readings) == 2 and not noted.in_flight

        await until(is_noted, deadline_s=20, what="the note that the handshake is over")
        await made.uplink.kill()
        await made.kill_broker()
        await made.uplink.start()
        await made.send()
        await made.arrived()
        assert made.seen() == Counter([0, 1, 2])


async def test_broker_with_finished_handshakes_open_again_is_used_with_a_new_session(
    nats: NatsServer, tmp_path: Path
) -> None:
    """They take up its receive maximum of 20, and nobody would ever finish them."""
    async with rig(nats, tmp_path, saves=True) as made:
        answers = asyncio.Event()

        async def hold(chunk: bytes) -> bytes:
            await answers.wait()
            return chunk

        made.line.down.change = hold
        await made.send(16)
        # with five of them open the broker takes 15 more, and a window is 16
        await until(
            lambda: made.broker.log.count("Sending PUBREC") >= 1 + 5, deadline_s=20, what="open handshakes"
        )
        await made.save()
        answers.set()
        made.line.down.change = None
        await made.arrived()
        await made.kill_broker()
        await made.send(60)
        await made.arrived()
        assert "given up" in made.uplink.log
