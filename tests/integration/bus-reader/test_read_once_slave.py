"""`read_once` against a slave that this project did not write (libmodbus), on a line and over TCP."""

from pathlib import Path

import pytest

from ccm_bus_reader.read_once import Found, read_once
from ccm_kit.errors import BadInputError, CcmError, UnavailableError
from tests.support.modbus_slave import Registers, rtu_slave, tcp_slave
from tests.support.ports import free_port
from tests.support.pty_pair import PtyPair

PROFILE = """
brand: test
brand_name: Test
type: meter
class: three-phase
series: T
source: made up for this test
protocol: [modbus-rtu, modbus-tcp]
timing: {timeout_min_ms: 100, timeout_max_ms: 300}
points:
  - {metric: v1, function: 3, address: 10, type: u16, scale: 0.1}
  - {metric: p, function: 3, address: 11, type: s32}
  - {metric: f, function: 3, address: 40, type: u16, scale: 0.01}
  - {metric: e_imp, function: 4, address: 0, type: u32, scale: 0.001, poll: slow}
  - {metric: serial, function: 3, address: 60, type: string, length: 2, poll: once}
models:
  - {id: meter, model: Meter}
"""
REGISTERS: Registers = {
    (7, 3, 10): [2304, 0xFFFF, 0xFB2E],
    (7, 3, 40): [4998],
    (7, 4, 0): [1, 2],
    (7, 3, 60): [0x4142, 0x4300],
}
"""Addresses 13 to 39 are not there: a read over that gap is answered with exception 2."""
WANTED = {"v1": 230.4, "p": -1234, "f": 49.98, "e_imp": 65.538, "serial": "ABC"}


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "meter.yaml"
    path.write_text(PROFILE)
    return str(path)


def values(found: list[Found]) -> dict[str, object]:
    return {each.metric: each.value for each in found}


@pytest.mark.parametrize("character", ["8N1", "8E1"])
async def test_line(serial_line: PtyPair, tmp_path: Path, profile: str, character: str) -> None:
    async with rtu_slave(serial_line.b, REGISTERS, tmp_path=tmp_path):
        found = await read_once(serial_line.a, profile, 7, format=character)
    assert values(found) == WANTED
    assert {each.metric: each.unit for each in found}["e_imp"] == "kWh"


async def test_modbus_tcp(tmp_path: Path, profile: str) -> None:
    async with tcp_slave(REGISTERS, tmp_path=tmp_path) as slave:
        assert values(await read_once(f"tcp://127.0.0.1:{slave.port}", profile, 7)) == WANTED


async def refusal(port: str, model: str, unit: int) -> str:
    with pytest.raises(CcmError) as caught:
        await read_once(port, model, unit)
    assert isinstance(caught.value, BadInputError | UnavailableError)
    return caught.value.message


async def test_what_goes_wrong_is_said(serial_line: PtyPair, tmp_path: Path, profile: str) -> None:
    async with rtu_slave(serial_line.b, {(7, 3, 999): [1]}, tmp_path=tmp_path):
        assert "no reply in" in await refusal(serial_line.a, profile, 8)
        assert "exception 2 (illegal address)" in await refusal(serial_line.a, profile, 7)
    assert "no such path" in await refusal(str(tmp_path / "none"), profile, 7)
    (tmp_path / "file").touch()
    assert "is not a serial port" in await refusal(str(tmp_path / "file"), profile, 7)
    assert "refused" in await refusal(f"tcp://127.0.0.1:{free_port()}", profile, 7)
    assert "is not a path" in await refusal("http://127.0.0.1", profile, 7)
    assert "is not a model" in await refusal(serial_line.a, "eastron/none", 7)
    assert "1 to 247" in await refusal(serial_line.a, profile, 300)
