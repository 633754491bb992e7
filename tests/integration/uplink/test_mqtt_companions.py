"""Home Assistant's discovery and Sparkplug B beside the outbox, at a real broker."""

import json
from pathlib import Path
from typing import Any

from ccm_contracts.config.document import SECTIONS
from ccm_contracts.config.services import Mqtt
from tests.integration.uplink.site import (
    GATEWAY,
    configure,
    connected,
    on_bus,
    publish,
    reading,
    uplink_process,
)
from tests.support import mosquitto as peer
from tests.support.mosquitto import Access, Message, Mosquitto, subscriber
from tests.support.nats import NatsServer
from tests.support.wait import until
from tests.unit.uplink.test_home_assistant import valid

DEVICES = [{"id": "grid", "host": "192.0.2.7", "model": "sunspec/inverter", "unit": 1, "alias": "Grid"}]
CONFIG_TOPIC = f"homeassistant/device/ccm-{GATEWAY}-device-grid/config"
REBIRTH = bytes.fromhex("0801121a0a144e6f646520436f6e74726f6c2f52656269727468200b7001").decode()


def settings(port: int, **more: Any) -> Mqtt:
    given = {"port": port, "prefix_sub": "/site/srv", "prefix_pub": "/site/dev", "latency_s": 0, **more}
    return Mqtt(enabled=True, **given)


async def test_device_is_discovered_and_goes_when_it_is_removed(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(Access(mosquitto.port), "homeassistant/#", directory=tmp_path) as home,
    ):
        devices = SECTIONS["devices"].validate_python(DEVICES)
        await configure(api, uplink, "devices", devices)
        await configure(api, uplink, "mqtt", settings(mosquitto.port, home_assistant={"enabled": True}))
        await connected(api, "mqtt")
        await publish(reader, reading(1, v1=230.1, e_imp=12.5))
        found = await home.message(lambda message: message.topic == CONFIG_TOPIC)
        assert valid(found.payload).keys() == {"v1", "e_imp"}
        assert json.loads(found.payload)["device"]["name"] == "Grid"
        # Removed while uplink is not there: the next one takes it back.
        await uplink.kill()
        await configure(api, uplink, "devices", [])
        await uplink.start()
        await home.message(
            lambda message: message.topic == CONFIG_TOPIC and message.payload == b"", deadline_s=20
        )


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Protobuf fields of the wire types 0, 1 and 2 (protobuf.dev, encoding)."""
    found: list[tuple[int, int | bytes]] = []
    rest = list(data)

    def number() -> int:
        value = shift = 0
        while True:
            digit = rest.pop(0)
            value |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return value

    while rest:
        key = number()
        if key & 7 == 0:
            found.append((key >> 3, number()))
            continue
        size = 8 if key & 7 == 1 else number()
        found.append((key >> 3, bytes(rest[:size])))
        del rest[:size]
    return found


def told(message: Message) -> tuple[str, int | None, list[dict[int, int | bytes]]]:
    """Kind and device, sequence, metrics by field number."""
    _, _, kind, _, *device = message.topic.split("/")
    fields = _fields(message.payload)
    seq = next((value for number, value in fields if number == 3), None)
    metrics = [dict(_fields(value)) for number, value in fields if number == 2 and isinstance(value, bytes)]
    assert seq is None or isinstance(seq, int)
    return "/".join([kind, *device]), seq, metrics


async def test_gateway_is_a_sparkplug_node(nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path) -> None:
    access = Access(mosquitto.port)
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        subscriber(access, "spBv1.0/#", directory=tmp_path, qos=0) as scada,
    ):
        devices = SECTIONS["devices"].validate_python(DEVICES)
        await configure(api, uplink, "devices", devices)
        sparkplug = {"enabled": True, "group_id": "plant"}
        await configure(api, uplink, "mqtt", settings(mosquitto.port, sparkplug=sparkplug))
        await connected(api, "mqtt")

        async def heard(kind: str, count: int = 1) -> list[tuple[int | None, list[dict[int, int | bytes]]]]:
            def found() -> list[Any]:
                all_told = [told(message) for message in scada.messages]
                return [(seq, metrics) for each, seq, metrics in all_told if each == kind]

            await until(lambda: len(found()) >= count, deadline_s=15, what=f"{count} {kind}")
            return found()

        (seq, metrics), *_ = await heard("NBIRTH")
        assert seq == 0
        assert metrics[0] | {11: 0} == {1: b"bdSeq", 4: 8, 11: 0}
        birth = metrics[0][11]
        await publish(reader, reading(1, v1=230.1))
        (_, metrics), *_ = await heard("DBIRTH/grid")
        alias = metrics[0][2]
        assert metrics[0][1] == b"v1"
        await publish(reader, reading(2, v1=231.5))
        (_, metrics), *_ = await heard("DDATA/grid")
        assert (metrics[0][2], 1 in metrics[0]) == (alias, False)
        await heard("NDATA")
        await peer.publish(access, f"spBv1.0/plant/NCMD/{GATEWAY}", REBIRTH, directory=tmp_path)
        assert [seq for seq, _ in await heard("NBIRTH", 2)] == [0, 0]
        await heard("DBIRTH/grid", 2)
        seqs = [seq for _, seq, _ in map(told, [m for m in scada.messages if "/NCMD/" not in m.topic])]
        second = seqs.index(0, 1)
        assert seqs[:second] == list(range(second))
        assert seqs[second:] == list(range(len(seqs) - second))
        await configure(api, uplink, "devices", [])
        (_, metrics), *_ = await heard("DDEATH/grid")
        assert metrics == []
        await uplink.kill()
        (seq, metrics), *_ = await heard("NDEATH")
        assert seq is None
        assert metrics[0][11] == birth
