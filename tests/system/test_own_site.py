"""`ccmaster up` and `ccmaster read` on a user's own site, against a slave that we did not write (libmodbus)."""

import json
import struct
from functools import partial
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from tests.support.gateway import ccmaster, gateway, written
from tests.support.modbus_slave import rtu_slave, tcp_slave
from tests.support.mosquitto import mosquitto_broker
from tests.support.pty_pair import pty_pair
from tests.support.wait import until
from tests.support.witness import witness

pytestmark = pytest.mark.system

SDM630 = {  # Eastron SDM630 Modbus V2 protocol document: input register addresses, big-endian float32
    "v1": (0, 230.5), "v2": (2, 231.25), "v3": (4, 229.75),
    "i1": (6, 10.5), "i2": (8, 0.25), "i3": (10, 3.0),
    "p1": (12, -2415.5), "p2": (14, 57.75), "p3": (16, 689.25),
    "p": (52, -1668.5), "s": (56, 3165.0), "q": (60, -120.25), "f": (70, 50.0625),
    "e_imp": (72, 12345.5), "e_exp": (74, 987.25), "eq_imp": (76, 11.5), "eq_exp": (78, 0.5),
}  # fmt: skip
UNITS = {"v": "V", "i": "A", "p": "W", "s": "VA", "q": "var", "f": "Hz", "e": "kWh"}


def sdm630_registers(unit: int) -> dict[tuple[int, int, int], list[int]]:
    """The whole input register space of the meter, with the values of the table in it."""
    words = [0] * 400
    for address, value in SDM630.values():
        words[address : address + 2] = struct.unpack(">HH", struct.pack(">f", value))
    return {(unit, 4, 0): words}


def unit_of(metric: str) -> str:
    return "kvarh" if metric.startswith("eq") else UNITS[metric[0]]


def check(values: dict[str, dict[str, Any]]) -> None:
    for metric, (_, expected) in SDM630.items():
        assert values[metric]["value"] == pytest.approx(expected, abs=0.0051), metric
        assert values[metric]["unit"] == unit_of(metric), metric


async def test_up_reads_every_value_of_an_independent_slave(tmp_path: Path) -> None:
    async with (
        pty_pair() as line,
        rtu_slave(line.b, sdm630_registers(7), tmp_path=tmp_path / "rtu", baudrate=19200),
        tcp_slave(sdm630_registers(3), tmp_path=tmp_path / "tcp") as tcp,
    ):
        site = written(
            tmp_path / "site.yaml",
            {
                "gateway": {"serial": "TEST-1"},
                "ports": [{"id": "cellar", "kind": "rs485", "path": str(line.a), "baudrate": 19200}],
                "devices": [
                    {"id": "meter", "port": "cellar", "model": "eastron/sdm630", "unit": 7},
                    {
                        "id": "far",
                        "host": "127.0.0.1",
                        "tcp_port": int(tcp.target),
                        "model": "eastron/sdm630",
                        "unit": 3,
                        "direction": "reversed",
                    },
                ],
            },
        )
        with gateway(["up", "--config", str(site)], tmp_path / "data", tmp_path / "up.log") as running:
            data: Any = await until(
                partial(running.get, "/devices/meter/data"), deadline_s=20, what="a reading over RTU"
            )
            check(data["values"])
            reversed_: Any = await until(
                partial(running.get, "/devices/far/data"), deadline_s=20, what="a reading over TCP"
            )
            values = reversed_["values"]
            assert values["p"]["value"] == pytest.approx(1668.5, abs=0.051)
            assert (values["e_imp"]["value"], values["e_exp"]["value"]) == (987.25, 12345.5)


async def test_read_prints_every_value_of_an_independent_slave(tmp_path: Path) -> None:
    async with (
        pty_pair() as line,
        rtu_slave(line.b, sdm630_registers(7), tmp_path=tmp_path / "rtu", baudrate=9600),
    ):
        done = ccmaster(
            "read", "--port", line.a, "--model", "eastron/sdm630", "--unit", "7", "--json", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        check(json.loads(done.stdout))
        silent = ccmaster("read", "--port", line.a, "--model", "eastron/sdm630", "--unit", "8", cwd=tmp_path)
        assert silent.returncode == 1
        assert "unit 8" in silent.stderr
        assert len(silent.stderr.splitlines()) == 1
    unknown = ccmaster("read", "--port", "/dev/ttyNoSuch", "--model", "eastron/sdm630", cwd=tmp_path)
    assert unknown.returncode != 0
    assert "/dev/ttyNoSuch" in unknown.stderr


async def test_first_start_publishes_the_very_first_reading(tmp_path: Path) -> None:
    """MQTT is on in the site file: nothing may be measured while uplink does not know that yet."""
    async with (
        mosquitto_broker(tmp_path / "broker") as broker,
        witness(broker.port, "/site/srv/telemetry/#", qos=1) as heard,
        tcp_slave(sdm630_registers(3), tmp_path=tmp_path / "tcp") as tcp,
    ):
        device = {
            "id": "far",
            "host": "127.0.0.1",
            "tcp_port": int(tcp.target),
            "model": "eastron/sdm630",
            "unit": 3,
        }
        mqtt = {"enabled": True, "port": broker.port, "prefix_sub": "/site/srv", "prefix_pub": "/site/dev"}
        site = written(
            tmp_path / "site.yaml",
            {
                "gateway": {"serial": "TEST-1"},
                "devices": [{**device, "poll_s": 0.1}],
                "mqtt": {**mqtt, "latency_s": 0},
            },
        )
        with gateway(["up", "--config", str(site)], tmp_path / "data", tmp_path / "up.log") as running:
            await until(lambda: len(heard.heard) >= 5, deadline_s=20, what="readings at the broker")
            assert json.loads(heard.payloads[0])["seq"] == 1
            client = await nats_py.connect(running.nats_url, user="admin", password=running.admin_password())
            consumers = await client.jetstream().consumers_info("CCM_TELEMETRY")
            await client.close()
            # of a link that was ever off the name says from where on it takes messages (docs/adr/0005)
            assert "mqtt" in {each.name for each in consumers}
