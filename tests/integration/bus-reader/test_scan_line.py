"""A search on simulated lines without a bus: slow devices, doubled units, what nobody knows."""

from pathlib import Path
from typing import Any

import pytest

from ccm_bus_reader.scan_once import Standing, scan_once
from ccm_contracts.scan_state import FoundDevice
from ccm_contracts.verbs.bus_reader import ScanRequest
from ccm_sim import Site, parse_spec
from tests.support.modbus_slave import rtu_slave, tcp_slave
from tests.support.pty_pair import pty_pair
from tests.support.serial_server import serial_server
from tests.support.wait import until


def words(text: str, count: int) -> list[int]:
    data = text.encode().ljust(2 * count, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * count, 2)]


async def found_on(port: str, **request: Any) -> dict[int, FoundDevice]:
    told: list[Standing] = []
    wanted = {"baudrates": [9600], "formats": ["8N1"]} | request
    await scan_once(port, ScanRequest(line="x", **wanted), told.append)
    assert told[-1].percent == 100.0
    return {each.unit: each for each in told[-1].found}


async def on_site(
    directory: Path, wanted: dict[int, str], **devices: dict[str, Any]
) -> dict[int, FoundDevice]:
    """What a search found that found these kinds. One that a machine hinders, which stands still, may not."""
    async with Site(parse_spec({"lines": {"x": {"devices": devices}}}), directory) as site:
        path = str(site.line_path("x"))

        async def search() -> dict[int, FoundDevice] | None:
            found = await found_on(path, first_unit=1, last_unit=5)
            return found if {unit: each.kind for unit, each in found.items()} == wanted else None

        found = await until(search, deadline_s=20, what=f"a search that finds {wanted}")
        assert found is not None
        return found


async def test_device_slower_than_the_time_out_is_noticed_and_asked_again(tmp_path: Path) -> None:
    fast = {"kind": "ccm4", "unit": 1, "turnaround_ms": 5}
    slow = {"kind": "ccm4", "unit": 3, "turnaround_ms": 400}
    found = await on_site(tmp_path, {1: "device", 3: "device"}, fast=fast, slow=slow)
    assert found[3].candidates[0].model == "energyccm/ccm4"


async def test_two_devices_that_reply_one_after_the_other_are_a_conflict(tmp_path: Path) -> None:
    quick = {"kind": "ccm4", "unit": 2, "turnaround_ms": 5}
    later = {"kind": "ccm4", "unit": 2, "turnaround_ms": 60}
    other = {"kind": "sdm630", "unit": 4}
    wanted = {2: "conflict", 4: "device"}
    found = await on_site(tmp_path, wanted, quick=quick, later=later, other=other)
    assert found[2].answered == "two replies to one question"


async def test_noisy_device_is_no_conflict(tmp_path: Path) -> None:
    noisy = {"kind": "ccm4", "unit": 2, "faults": {"corrupt": 0.2}}
    found = await on_site(tmp_path, {2: "device"}, noisy=noisy)
    assert found[2].candidates


async def test_device_of_no_profile_is_shown_with_what_it_answered(tmp_path: Path) -> None:
    """The independent slave (tests/peers/modbus_slave.c) with values that no profile takes for its own."""
    registers = {(2, 3, 0): (0xCAFE, 0x0001)}
    async with pty_pair() as pair, rtu_slave(pair.b, registers, tmp_path=tmp_path):
        found = await found_on(pair.a, first_unit=1, last_unit=3)
    assert found[2].kind == "unknown"
    assert found[2].candidates == []
    assert found[2].answered == "registers CAFE 0001"


async def test_network_device_that_answers_at_every_unit_is_listed_once(tmp_path: Path) -> None:
    """Registers of a SunSpec common model and model 103 (specification V1.1), the same at units 1 to 3."""
    common = [*words("Fronius", 16), *words("Symo", 16), *[0] * 8, *words("1.2", 8), *words("S77", 16), 1, 0]
    chain = (0x5375, 0x6E53, 1, 66, *common, 103, 50, *[0] * 50, 0xFFFF, 0)
    registers = {(unit, 3, 40000): chain for unit in (1, 2, 3)}
    async with tcp_slave(registers, tmp_path=tmp_path) as slave:
        found = await found_on(f"tcp://127.0.0.1:{slave.port}", first_unit=1, last_unit=3)
    assert list(found) == [1]
    assert (found[1].serial, found[1].maker) == ("S77", "Fronius Symo")
    assert found[1].candidates[0].model.startswith("fronius/")
    assert found[1].candidates[0].confidence == "certain"


@pytest.mark.parametrize("echoes", [False, True])
async def test_line_behind_a_serial_server_is_searched_also_where_the_adapter_echoes(
    tmp_path: Path, echoes: bool
) -> None:
    meters = {"a": {"kind": "sdm630", "unit": 2}, "b": {"kind": "ccm4", "unit": 4}}
    async with (
        Site(parse_spec({"lines": {"x": {"devices": meters}}}), tmp_path) as site,
        serial_server(site.line_path("x"), echoes=echoes) as port,
    ):
        found = await found_on(f"rtu+tcp://127.0.0.1:{port}", first_unit=1, last_unit=5)
    models = {unit: each.candidates[0].model for unit, each in found.items()}
    assert models == {2: "eastron/sdm630", 4: "energyccm/ccm4"}
    assert not any(each.kind == "conflict" for each in found.values())
