"""A search for devices, end to end: real NATS, real pseudo-terminals, simulated devices."""

from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.config.field import Device
from ccm_contracts.scan_state import FoundDevice, LineSetting
from ccm_contracts.verb_table import SCAN_CANCEL, SCAN_START, SET_MODE
from ccm_contracts.verbs.bus_reader import ScanCancel, ScanRequest, SetMode
from ccm_kit.errors import RefusedError
from ccm_sim import Site, parse_spec
from tests.support.field import field_of
from tests.support.nats import NatsServer

HOUSE = Device(id="house", port="ext", model="eastron/sdm630", unit=2, poll_s=0.5)
SPEC: dict[str, Any] = {
    "lines": {
        "ext": {
            "strict": True,
            "devices": {
                "house": {"kind": "sdm630", "unit": 2},
                "roof": {"kind": "goodwe-dns", "unit": 100},
                "one": {"kind": "ccm4", "unit": 5},
                "other": {"kind": "ccm4", "unit": 5},
            },
        },
        "fast": {"baudrate": 19200, "strict": True, "devices": {"cellar": {"kind": "ccm4", "unit": 3}}},
        "native": {"devices": {"grid": {"kind": "ccm4", "unit": 1}}},
    }
}


def by_unit(found: list[FoundDevice]) -> dict[int, FoundDevice]:
    return {each.unit: each for each in found}


async def test_quick_search_names_models_serials_and_two_devices_on_one_address(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(HOUSE)
        async with field.reader():
            seq = await field.read("house")
            request = ScanRequest(line="ext", baudrates=[9600], formats=["8N1"])
            begun = await field.call(SCAN_START, request)
            assert (begun.status, begun.total) == ("running", 12)
            with pytest.raises(RefusedError, match="runs on line ext already"):
                await field.call(SCAN_START, request)
            with pytest.raises(RefusedError) as refused:
                await field.call(SET_MODE, SetMode(mode="synchronisation"))
            assert refused.value.code == "scan-running"
            done = await field.scan("ext", lambda state: state.status != "running", "the search to end")
            assert (done.status, done.percent, done.left_s) == ("done", 100.0, None)
            found = by_unit(done.found)
            assert list(found) == [2, 5, 100]
            assert found[2].kind == "device"
            assert "eastron/sdm630" in [each.model for each in found[2].candidates]
            assert found[2].device == "house"
            assert found[5].kind == "conflict"
            assert found[100].candidates[0].model.startswith("goodwe/")
            assert found[100].serial == site.truth()["devices"]["roof"]["values"]["serial"]
            seq = await field.read("house", above=seq)
            assert await field.read("house", above=seq) > seq


async def test_device_at_another_rate_is_found_and_the_line_goes_back_to_its_own(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure()
        async with field.reader():
            await field.open("fast")
            request = ScanRequest(line="fast", first_unit=1, last_unit=4, baudrates=[9600, 19200])
            await field.call(SCAN_START, request)
            done = await field.scan("fast", lambda state: state.status != "running", "the search to end")
            assert done.status == "done", done.error
            (only,) = done.found
            assert (only.unit, only.setting) == (3, LineSetting(baudrate=19200, format="8N1"))
            assert only.candidates[0].model == "energyccm/ccm4"
            assert only.candidates[0].confidence == "certain"
            assert only.serial == str(site.truth()["devices"]["cellar"]["values"]["serial_number"])


async def test_cancelled_search_keeps_what_it_found_and_the_line_reads_on(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(HOUSE)
        async with field.reader():
            await field.read("house")
            await field.call(SCAN_START, ScanRequest(line="ext", depth="full"))
            half = await field.scan("ext", lambda state: state.found, "a find")
            assert half.status == "running"
            assert half.left_s is not None
            ended = await field.call(SCAN_CANCEL, ScanCancel(line="ext"))
            assert (ended.status, ended.found[0].unit) == ("cancelled", 2)
            seq = await field.read("house")
            assert await field.read("house", above=seq) > seq


async def test_killed_in_the_middle_the_search_is_told_as_ended_and_the_line_reads_on(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(HOUSE)
        async with field.reader() as process:
            seq = await field.read("house")
            await field.call(SCAN_START, ScanRequest(line="ext", depth="full"))
            await field.scan("ext", lambda state: state.found, "a find")
            process.signal(9)
        async with field.reader():
            assert await field.read("house", above=seq) > seq
            ended = await field.scan("ext", lambda state: state.status != "running", "the end to be told")
            assert (ended.status, ended.error) == ("failed", "was ended by a restart of bus-reader")
