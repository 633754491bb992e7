"""uplink as a process against brokers that nobody here wrote: Mosquitto, and the NATS server's own listener."""

import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.services import Mqtt, Tls
from ccm_contracts.messages import Command
from ccm_contracts.state import OutputState
from ccm_contracts.types import Secret
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import OutputDone, SetOutput
from ccm_kit.bus import Answer, Bus
from tests.integration.uplink.site import (
    GATEWAY,
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
from tests.support.mosquitto import Access, BrokerOptions, Mosquitto, Subscriber, mosquitto_broker, subscriber
from tests.support.nats import NatsServer, nats_server
from tests.support.ports import free_port
from tests.support.tls import Authority
from tests.support.wait import until


@pytest.fixture
async def reader(nats: NatsServer) -> AsyncIterator[Bus]:
    async with on_bus(nats, "bus-reader") as bus:
        yield bus


@pytest.fixture
async def api(nats: NatsServer) -> AsyncIterator[Bus]:
    async with on_bus(nats, "api") as bus:
        yield bus


@pytest.fixture
async def uplink(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Uplink]:
    async with uplink_process(nats, tmp_path / "uplink") as running:
        yield running


def _settings(port: int, **more: Any) -> Mqtt:
    given = {"port": port, "prefix_sub": "/site/srv", "prefix_pub": "/site/dev", "latency_s": 0, **more}
    return Mqtt(enabled=True, **given)


def _seqs(listener: Subscriber, device: str = "grid") -> list[int]:
    return [json.loads(message.payload)["seq"] for message in listener.on(f"/site/srv/telemetry/{device}")]


async def test_readings_events_and_status_arrive_as_they_are_on_the_bus(
    reader: Bus, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with subscriber(Access(mosquitto.port), "/site/srv/#", directory=tmp_path) as listener:
        await configure(api, uplink, "mqtt", _settings(mosquitto.port))
        await connected(api, "mqtt")
        sent = reading(7, v1=230.4, status="run")
        await publish(reader, sent)
        reader.event("line-open", "info", "the line is open")
        got = await listener.message(lambda message: message.topic == "/site/srv/telemetry/grid")
        assert got.payload == sent.model_dump_json().encode()
        assert got.qos == 1
        await listener.message(lambda message: message.topic == "/site/srv/event/bus-reader/line-open")
    async with subscriber(Access(mosquitto.port), "/site/srv/status", directory=tmp_path) as late:
        status = await late.message()
        assert status.is_retained
        assert json.loads(status.payload).items() >= {"online": True, "gateway": GATEWAY}.items()
        await uplink.kill()  # the broker publishes the last will by itself
        await late.message(lambda message: json.loads(message.payload)["online"] is False)


@pytest.mark.parametrize("qos", [1, 2])
async def test_broker_killed_and_restarted_misses_no_reading(
    reader: Bus, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path, qos: int
) -> None:
    await configure(api, uplink, "mqtt", _settings(mosquitto.port, qos=qos))
    await connected(api, "mqtt")
    async with subscriber(Access(mosquitto.port), "/site/srv/#", directory=tmp_path, qos=qos) as before:
        await publish(reader, *(reading(n) for n in range(300)))
        await until(lambda: len(_seqs(before)) >= 100, deadline_s=15, what="the first readings")
        await mosquitto.kill()
        await publish(reader, *(reading(n) for n in range(300, 600)))
        os.kill(uplink.pid, signal.SIGSTOP)  # what the broker gets before somebody subscribes is for nobody
        await mosquitto.start()
        async with subscriber(Access(mosquitto.port), "/site/srv/#", directory=tmp_path, qos=qos) as after:
            os.kill(uplink.pid, signal.SIGCONT)
            wanted = {*range(100), *range(300, 600)}
            await until(
                lambda: wanted <= {*_seqs(before), *_seqs(after)},
                deadline_s=20,
                what="what was heard before, and all from the outage on",
            )


async def test_password_is_asked_for_and_never_shown(api: Bus, uplink: Uplink, tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker", BrokerOptions(users={"gw": "richtig"})) as broker:
        await configure(
            api, uplink, "mqtt", _settings(broker.port, user="gw", password=Secret("geheim-falsch"))
        )
        error = await refused(api, "mqtt")
        assert error.startswith("credentials:")
        assert "geheim" not in error + uplink.log
        await configure(api, uplink, "mqtt", _settings(broker.port, user="gw", password=Secret("richtig")))
        await connected(api, "mqtt")


async def test_address_that_is_wrong_is_told_by_its_step(api: Bus, uplink: Uplink) -> None:
    await configure(api, uplink, "mqtt", _settings(free_port()))
    assert (await refused(api, "mqtt")).startswith("TCP: nobody listens")
    await configure(api, uplink, "mqtt", _settings(1883, host="mqtt://no-such-host.invalid"))

    async def name_error() -> bool:
        return (await refused(api, "mqtt")).startswith("name: no-such-host.invalid")

    await until(name_error, deadline_s=20, what="the error of the name")


async def test_tls_accepts_the_given_root_and_refuses_others(
    api: Bus, uplink: Uplink, tmp_path: Path
) -> None:
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong", "Other CA")
    server, client = right.server(), right.client()
    options = BrokerOptions(tls=server, client_ca=right.cert)

    def tls(certificate: str, kind: str = "ca") -> dict[str, Any]:
        keys = {"client_certificate": client.pem, "client_key": Secret(client.key_pem)}
        return {
            "host": "mqtts://127.0.0.1",
            "tls": Tls.model_validate({"type": kind, "certificate": certificate, **keys}),
        }

    async with mosquitto_broker(tmp_path / "broker", options) as broker:
        await configure(api, uplink, "mqtt", _settings(broker.port, **tls(wrong.pem)))
        assert "certificate" in await refused(api, "mqtt")
        await configure(api, uplink, "mqtt", _settings(broker.port, **tls(right.pem)))
        await connected(api, "mqtt")
        await configure(
            api, uplink, "mqtt", _settings(broker.port, **tls(right.server("twin").pem, "self-signed"))
        )
        assert "certificate" in await refused(api, "mqtt")
        await configure(api, uplink, "mqtt", _settings(broker.port, **tls(server.pem, "self-signed")))
        await connected(api, "mqtt")
        assert "PRIVATE" not in uplink.log


async def test_certificate_of_another_host_is_refused(api: Bus, uplink: Uplink, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    options = BrokerOptions(tls=authority.wrong_host())
    async with mosquitto_broker(tmp_path / "broker", options) as broker:
        tls = {"host": "mqtts://127.0.0.1", "tls": Tls(type="ca", certificate=authority.pem)}
        await configure(api, uplink, "mqtt", _settings(broker.port, **tls))
        assert (await refused(api, "mqtt")).startswith("TLS:")


async def test_latency_publishes_the_newest_of_each_slot(
    reader: Bus, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with subscriber(Access(mosquitto.port), "/site/srv/telemetry/#", directory=tmp_path) as listener:
        # START is 12:00:00, so that second n is in slot n // 10
        await configure(api, uplink, "mqtt", _settings(mosquitto.port, latency_s=10))
        await connected(api, "mqtt")
        await publish(reader, *(reading(n) for n in range(35)))
        await until(lambda: len(_seqs(listener)) >= 4, deadline_s=15, what="four slots")
        assert _seqs(listener) == [9, 19, 29, 34]


async def test_broker_switched_on_starts_from_then_on(
    reader: Bus, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    await publish(reader, reading(1))
    await until(lambda: uplink.stored() == [1], deadline_s=15, what="the first reading in history")
    async with subscriber(Access(mosquitto.port), "/site/srv/telemetry/#", directory=tmp_path) as listener:
        await configure(api, uplink, "mqtt", _settings(mosquitto.port))
        await connected(api, "mqtt")
        await publish(reader, reading(2))
        await listener.count(1)
        assert _seqs(listener) == [2]


async def test_change_of_settings_loses_nothing(
    reader: Bus, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    await configure(api, uplink, "mqtt", _settings(free_port()))
    assert await refused(api, "mqtt")
    await publish(reader, *(reading(n) for n in range(20)))
    async with subscriber(Access(mosquitto.port), "/site/srv/telemetry/#", directory=tmp_path) as listener:
        await configure(api, uplink, "mqtt", _settings(mosquitto.port, client_id="renamed"))
        await listener.count(20, deadline_s=15)
        assert _seqs(listener) == list(range(20))


class _Outputs:
    """io's place on the bus."""

    def __init__(self) -> None:
        self.commands: list[Command[SetOutput]] = []

    async def act(self, args: SetOutput, command: Command[SetOutput]) -> OutputDone:
        self.commands.append(command)
        now = datetime.now(UTC)
        return OutputDone(
            state=OutputState(output=args.output, value=args.value, since=now, reason="command")
        )


async def test_command_is_passed_on_and_answered(
    nats: NatsServer, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    outputs, access = _Outputs(), Access(mosquitto.port)

    async def command(text: str, verb: str = "io/output", *, is_retained: bool = False) -> None:
        topic = f"/site/dev/command/{verb}"
        await peer.publish(access, topic, text, directory=tmp_path, is_retained=is_retained)

    async with (
        on_bus(nats, "io") as io,
        subscriber(access, "/site/srv/#", directory=tmp_path) as listener,
    ):
        await io.serve(Answer(SET_OUTPUT, outputs.act))
        await configure(api, uplink, "mqtt", _settings(mosquitto.port))
        await connected(api, "mqtt")

        async def result(command_id: str) -> Any:
            topic = f"/site/srv/result/{command_id}"
            return json.loads((await listener.message(lambda message: message.topic == topic)).payload)

        await command('{"command_id": "c1", "args": {"output": "relay-1", "value": 1}}')
        assert (await result("c1"))["result"]["state"]["value"] == 1
        await command('{"command_id": "c2", "output": "relay-2", "value": 0}')
        assert (await result("c2"))["ok"] is True
        assert [each.issued_by for each in outputs.commands] == ["mqtt", "mqtt"]

        await command('{"command_id": "c3", "args": {"output": "relay-9", "value": 1}}')
        assert (await result("c3"))["error"]["field"] == "args.output"
        await command('{"command_id": "c4", "args": {}}', "uplink/history")
        assert (await result("c4"))["error"]["code"] == "unknown-verb"
        for number, verb in enumerate(("io", "io/output/relay-1", "", "/output")):
            await command(f'{{"command_id": "d{number}", "args": {{}}}}', verb)
            assert "command/{service}/{verb}" in (await result(f"d{number}"))["error"]["message"]
        await command(
            '{"command_id": "c5", "args": {"device": "x", "name": "n", "value": 1}}', "bus-reader/command"
        )
        assert (await result("c5"))["error"]["code"] == "unavailable"
        await command('{"command_id": "c6", "deadline": "0001-01-01T00:00:00+02:00"}', "uplink/send-now")
        assert (await result("c6"))["error"]["field"] == "deadline"
        await command("not json")
        assert (await result("refused"))["error"]["code"] == "malformed"
        await listener.message(lambda message: message.topic == "/site/srv/event/uplink/rejected")
        assert len(outputs.commands) == 2


async def test_retained_command_does_not_act(
    nats: NatsServer, api: Bus, uplink: Uplink, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    outputs, access = _Outputs(), Access(mosquitto.port)
    text = '{"command_id": "old", "args": {"output": "relay-1", "value": 1}}'
    await peer.publish(access, "/site/dev/command/io/output", text, directory=tmp_path, is_retained=True)
    async with (
        on_bus(nats, "io") as io,
        subscriber(access, "/site/srv/result/#", directory=tmp_path) as listener,
    ):
        await io.serve(Answer(SET_OUTPUT, outputs.act))
        await configure(api, uplink, "mqtt", _settings(mosquitto.port))
        answer = json.loads((await listener.message(deadline_s=15)).payload)
        assert (answer["command_id"], answer["error"]["code"]) == ("old", "retained")
        assert outputs.commands == []


async def test_nats_listener_as_the_broker(tmp_path: Path) -> None:
    """What `ccmaster demo` stands on: topics that begin with `/`, MQTT 3.1.1, retained status, QoS 1."""
    port = free_port()
    config = f'server_name: demo\nmqtt {{ listen: "127.0.0.1:{port}" }}\n'
    async with (
        nats_server(tmp_path / "nats", config=config) as nats,
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(
            Access(port), "/site/srv/#", directory=tmp_path, options=["-V", "mqttv311"], client_id="listener"
        ) as listener,
    ):
        await configure(api, uplink, "mqtt", _settings(port))
        await connected(api, "mqtt")
        await publish(reader, *(reading(n) for n in range(50)))
        await until(lambda: len(_seqs(listener)) >= 50, deadline_s=15, what="fifty readings")
        await nats.kill()
        await nats.start()
        for n in range(50, 100):
            reader.say(TELEMETRY, reading(n), msg_id=f"grid-{n}", device="grid")
        await until(lambda: set(_seqs(listener)) == set(range(100)), deadline_s=20, what="a hundred readings")
        await until(lambda: uplink.stored() == list(range(100)), deadline_s=10, what="history")


async def test_broker_that_is_away_does_not_hold_history_back(reader: Bus, api: Bus, uplink: Uplink) -> None:
    await configure(api, uplink, "mqtt", _settings(free_port()))
    assert await refused(api, "mqtt")
    await publish(reader, *(reading(n) for n in range(700)))
    await until(lambda: len(uplink.stored()) == 700, deadline_s=15, what="all readings in history")

    async def waits() -> bool:
        state = await link_state(api, "mqtt")
        # the event of uplink's start is a message, too, where it came after MQTT was noted to be off
        return state is not None and state.pending in (700, 701) and (state.oldest_s or 0) > 0

    await until(waits, deadline_s=10, what="an outbox of 700 readings")
