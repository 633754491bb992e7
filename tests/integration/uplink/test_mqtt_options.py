"""Options of the MQTT link at a real broker: commands and who allows them, batches, compression, protocol."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from ccm_contracts.config.services import Mqtt
from ccm_contracts.types import Secret
from tests.integration.uplink.site import (
    Uplink,
    configure,
    connected,
    link_state,
    on_bus,
    publish,
    reading,
    refused,
    uplink_process,
)
from tests.support import mosquitto as peer
from tests.support.mosquitto import Access, BrokerOptions, Mosquitto, mosquitto_broker, subscriber
from tests.support.nats import NatsServer
from tests.support.peers import need
from tests.support.proxy import proxy
from tests.support.wait import LEAST_S, every, stays, until


def settings(port: int, **more: Any) -> Mqtt:
    given = {"port": port, "prefix_sub": "/site/srv", "prefix_pub": "/site/dev", "latency_s": 0, **more}
    return Mqtt.model_validate({"enabled": True, **given})


async def test_configuration_is_read_without_secrets_and_only_if_allowed(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    access = Access(mosquitto.port)
    async with (
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(access, "/site/srv/result/#", "/mine/#", directory=tmp_path) as listener,
    ):

        async def asked(command_id: str, section: str, verb: str = "config/read") -> Any:
            text = json.dumps({"command_id": command_id, "args": {"section": section}})
            await peer.publish(access, f"/site/dev/command/{verb}", text, directory=tmp_path)
            topic = f"/site/srv/result/{command_id}"
            return json.loads((await listener.message(lambda message: message.topic == topic)).payload)

        await configure(api, uplink, "mqtt", settings(mosquitto.port, user="u", password=Secret("geheim")))
        await connected(api, "mqtt")
        answer = await asked("c1", "mqtt")
        value = answer["result"]["value"]
        assert (value["prefix_sub"], value["password"]) == ("/site/srv", "********")
        assert answer["result"]["revision"] > 0
        assert (await asked("c2", "security"))["error"]["code"] == "not-found"
        assert (await asked("c3", "nonsense"))["error"]["field"] == "args.section"
        assert (await asked("c4", "", "uplink/send-now"))["result"] == {"released": 0}

        # MQTT 5: the sender says where he wants the answer, and what he knows it by
        command = [
            str(need("mosquitto_pub")),
            "-V",
            "5",
            *access.arguments(),
            "-t",
            "/site/dev/command/config/read",
        ]
        command += ["-q", "1", "-m", '{"command_id": "c5", "args": {"section": "ports"}}']
        for name, content in (("response-topic", "/mine/answers"), ("correlation-data", "n17")):
            command += ["-D", "PUBLISH", name, content]
        async with aiomqtt.Client("127.0.0.1", mosquitto.port, protocol=aiomqtt.ProtocolVersion.V5) as asking:
            await asking.subscribe("/mine/answers")
            await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
            async with asyncio.timeout(LEAST_S):
                mine = await anext(asking.messages)
        assert json.loads(bytes(mine.payload))["command_id"] == "c5"
        assert getattr(mine.properties, "CorrelationData", None) == b"n17"

        ups = connections(uplink)
        assert ups
        await configure(api, uplink, "mqtt", settings(mosquitto.port, allow=["outputs"]))
        await until(lambda: connections(uplink) > ups, deadline_s=15, what="the new settings")
        assert (await asked("c6", "mqtt"))["error"]["code"] == "forbidden"


def connections(uplink: Uplink) -> int:
    """How often MQTT was connected so far."""
    return sum("link is up" in line and "mqtt" in line for line in uplink.log.splitlines())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_several_readings_travel_in_one_compressed_message(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(Access(mosquitto.port), "/site/srv/batch/telemetry", directory=tmp_path) as listener,
    ):
        batch = {"enabled": True, "max_messages": 40}
        given = settings(mosquitto.port, batch=batch, compression="gzip", protocol=protocol)
        await configure(api, uplink, "mqtt", given)
        await connected(api, "mqtt")

        os.kill(uplink.pid, signal.SIGSTOP)  # what it finds then waits together
        await publish(reader, *(reading(n, device=f"d{n % 3}") for n in range(90)))
        os.kill(uplink.pid, signal.SIGCONT)

        def seqs() -> list[int]:
            bodies = [json.loads(gzip.decompress(message.payload)) for message in listener.messages]
            assert all(len(body) <= 40 for body in bodies)
            return [each["seq"] for body in bodies for each in body]

        await until(lambda: len(seqs()) >= 90, deadline_s=15, what="ninety readings")
        assert seqs() == list(range(90))
        assert len(listener.messages) < 45


async def test_readings_that_come_one_by_one_wait_for_each_other(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Twenty in two seconds: one message, or two where the wait of 5 s ends between; one more for each 5 s more."""
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(Access(mosquitto.port), "/site/srv/batch/telemetry", directory=tmp_path) as listener,
    ):
        await configure(api, uplink, "mqtt", settings(mosquitto.port, batch={"enabled": True}))
        await connected(api, "mqtt")
        began_s = time.monotonic()
        async for number in every(0.1):
            await publish(reader, reading(number, device=f"d{number % 3}"))
            if number == 19:
                break
        took_s = time.monotonic() - began_s

        def seqs() -> list[int]:
            return [each["seq"] for message in listener.messages for each in json.loads(message.payload)]

        await until(lambda: len(seqs()) >= 20, deadline_s=15, what="twenty readings")
        assert seqs() == list(range(20))
        assert len(listener.messages) <= 2 + took_s // 5


async def test_broker_that_lets_us_in_and_refuses_to_take_anything_is_no_link(
    nats: NatsServer, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("user gw\ntopic read /site/dev/#\n")
    acl.chmod(0o644)
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        mosquitto_broker(
            tmp_path / "broker", BrokerOptions(users={"gw": "right"}, extra=f"acl_file {acl}")
        ) as broker,
        uplink_process(nats, tmp_path / "uplink") as uplink,
    ):
        given = settings(broker.port, user="gw", password=Secret("right"))
        await publish(reader, reading(0))
        await configure(api, uplink, "mqtt", given)
        assert "permission" in await refused(api, "mqtt")

        async def is_down() -> bool:
            state = await link_state(api, "mqtt")
            return state is not None and not state.connected and "permission" in (state.error or "")

        await stays(is_down, for_s=8, what="the refusal is told")
        acl.write_text("user gw\ntopic readwrite #\n")
        os.kill(broker.pid, signal.SIGHUP)
        state = await connected(api, "mqtt", deadline_s=30)
        assert state.error is None


async def test_bytes_of_the_day_are_those_on_the_wire(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """There and back, with what TCP adds to each packet: 80 bytes for 1400 or less."""
    values: dict[str, Any] = {f"m{n}": 1000.5 + n for n in range(20)}
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        proxy(mosquitto.port) as line,
    ):
        batch = {"enabled": True, "max_messages": 100}
        await configure(api, uplink, "mqtt", settings(line.port, batch=batch, compression="gzip"))
        await connected(api, "mqtt")
        await publish(reader, *(reading(n, **values) for n in range(300)))  # 120 kB as they are

        async def told() -> int:
            state = await link_state(api, "mqtt")
            return state.bytes_today if state is not None and state.delivered >= 300 else 0

        counted = await until(told, deadline_s=20, what="three hundred readings")
        passed = line.passed["up"] + line.passed["down"]
        assert passed < 60_000
        assert passed <= counted < 2 * passed + 5000


async def test_default_broker_is_the_one_that_the_environment_names(nats: NatsServer, tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker", BrokerOptions()) as broker, on_bus(nats, "api") as api:
        async with uplink_process(nats, tmp_path / "without") as uplink:
            await configure(api, uplink, "mqtt", settings(1, broker="default"))
            assert "CCM_DEFAULT_BROKER" in await refused(api, "mqtt")
        named = {"CCM_DEFAULT_BROKER": f"mqtt://127.0.0.1:{broker.port}"}
        async with uplink_process(nats, tmp_path / "with", **named):
            await connected(api, "mqtt")
