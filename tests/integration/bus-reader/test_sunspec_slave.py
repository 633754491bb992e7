"""A SunSpec device over the wire, played by libmodbus: read once, polled, limited, and moved by an update."""

from pathlib import Path

import pytest

from ccm_bus_reader.command import Job
from ccm_bus_reader.read_once import read_once
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.errors import UnavailableError
from tests.support.lines import running
from tests.support.modbus_slave import Registers, rtu_slave, tcp_slave
from tests.support.ports import free_port
from tests.support.pty_pair import PtyPair
from tests.support.sunspec_device import CONTROLS, INVERTER, INVERTER_VALUES, METER, Model, common, device
from tests.support.wait import until

WORDS = device(common("7E123ABC"), INVERTER, CONTROLS)


def at(base: int, words: list[int] = WORDS, unit: int = 3) -> Registers:
    return {(unit, 3, base): words}


@pytest.mark.parametrize("base", [40000, 50000, 0])
async def test_read_once_finds_it(tmp_path: Path, base: int) -> None:
    async with tcp_slave(at(base), tmp_path=tmp_path) as slave:
        found = await read_once(f"tcp://127.0.0.1:{slave.port}", "sunspec/inverter", 3)
    values = {each.metric: each.value for each in found}
    assert values == INVERTER_VALUES | {"serial": "7E123ABC", "firmware": "3.2468", "model": "SE5K"}


async def test_read_once_on_a_serial_line_says_what_it_is_not(serial_line: PtyPair, tmp_path: Path) -> None:
    async with rtu_slave(serial_line.b, at(40000), tmp_path=tmp_path):
        with pytest.raises(UnavailableError, match="unit 3 has no SunSpec meter; its models are 1, 103, 123"):
            await read_once(serial_line.a, "sunspec/meter", 3)


async def test_polled_limited_and_found_again_where_an_update_moved_it(tmp_path: Path) -> None:
    port = free_port()
    config = DeviceConfig(
        id="pv", host="127.0.0.1", tcp_port=port, model="sunspec/inverter", unit=3, poll_s=0.1
    )
    async with running(TcpHost("127.0.0.1", port), config, is_modbus_tcp=True) as (poller, noted):
        async with tcp_slave(at(40000), tmp_path=tmp_path, port=port):
            await until(lambda: noted.count("pv"), deadline_s=8, what="a reading")
            assert noted.readings["pv"][0][1]["p"] == INVERTER_VALUES["p"]
            assert noted.states["pv"].serial == "7E123ABC"
            assert await poller.command(Job(poller.devices["pv"], "power-limit", 62.5)) == 62.5
            assert await poller.command(Job(poller.devices["pv"], "power-limit-enable", 0)) == 0
        await until(lambda: not noted.is_online("pv"), deadline_s=8, what="the outage")
        noted.readings.clear()
        moved = device(common("7E123ABC"), Model(120, 26), INVERTER)
        async with tcp_slave(at(0, moved), tmp_path=tmp_path, port=port):
            await until(lambda: noted.count("pv"), deadline_s=12, what="a reading")
            assert noted.readings["pv"][0][1]["p"] == INVERTER_VALUES["p"]


async def test_one_that_is_no_such_device_is_offline_with_its_reason(tmp_path: Path) -> None:
    async with tcp_slave(at(40000, device(common("M"), METER)), tmp_path=tmp_path) as slave:
        config = DeviceConfig(id="pv", host="127.0.0.1", model="sunspec/inverter", unit=3, poll_s=0.1)
        async with running(TcpHost("127.0.0.1", slave.port), config, is_modbus_tcp=True) as (_, noted):
            await until(lambda: "pv" in noted.states, deadline_s=8, what="its state")
            assert not noted.is_online("pv")
            assert "has no SunSpec inverter; its models are 1, 203" in (noted.states["pv"].error or "")
