"""Synchronisation mode, end to end: buttons pressed on simulated CcMs, units given over the wire."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.config.field import Device
from ccm_contracts.state import ModeState
from ccm_contracts.verb_table import SCAN_START, SET_MODE
from ccm_contracts.verbs.bus_reader import ScanRequest, SetMode
from ccm_kit.errors import RefusedError
from ccm_sim import Site, parse_spec
from tests.support.field import Field, field_of
from tests.support.nats import NatsServer
from tests.support.wait import until

GRID = Device(id="grid", port="native", model="energyccm/ccm4", unit=1, poll_s=0.5)
SPARES: dict[str, Any] = {f"spare-{number}": {"kind": "ccm4", "unit": 0} for number in (1, 2, 3)}
SPEC: dict[str, Any] = {"lines": {"native": {"devices": {"grid": {"kind": "ccm4", "unit": 1}} | SPARES}}}
ON, TOGGLE = SetMode(mode="synchronisation"), SetMode(mode="toggle")


def serial_of(site: Site, device: str) -> str:
    return str(site.truth()["devices"][device]["values"]["serial_number"])


def has_unit(unit: int, state: ModeState) -> bool:
    return unit in state.assigned


async def enter(field: Field, line: str = "native") -> None:
    await field.open(line)
    await field.call(SET_MODE, ON)


async def test_three_devices_get_2_3_and_4_and_the_principal_is_read_on(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(GRID)
        async with field.reader():
            seq = await field.read("grid")
            state = await field.call(SET_MODE, TOGGLE)
            assert (state.mode, state.lines) == ("synchronisation", ["native"])
            with pytest.raises(RefusedError) as refused:
                await field.call(SCAN_START, ScanRequest(line="native"))
            assert refused.value.code == "sync-running"
            for unit, spare in enumerate(SPARES, start=2):
                assert site.press(spare)
                state = await field.mode(partial(has_unit, unit), f"unit {unit}")
                assert site.devices[spare].unit == unit
                assert state.devices[-1].serial == serial_of(site, spare)
                assert state.devices[-1].model == "energyccm/ccm4"
            assert await field.read("grid", above=seq) > seq
            state = await field.call(SET_MODE, TOGGLE)
            assert (state.mode, state.assigned, len(state.devices)) == ("reading", [2, 3, 4], 3)


async def test_two_at_once_are_told_apart_from_one_and_nothing_is_assigned(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(GRID)
        async with field.reader():
            await enter(field)
            site.press("spare-1", "spare-2")
            state = await field.mode(lambda state: state.problem, "the collision to be told")
            assert "two devices wait at once" in str(state.problem)
            assert (state.assigned, site.devices["spare-1"].unit) == ([], 0)
            site.press("spare-2")
            state = await field.mode(lambda state: state.assigned == [2], "the other one's unit")
            assert (state.problem, site.devices["spare-1"].unit) == (None, 2)


async def test_known_serial_keeps_its_unit_and_an_occupied_one_is_passed_over(
    nats: NatsServer, tmp_path: Path
) -> None:
    squatter = {"squatter": {"kind": "ccm4", "unit": 2}}
    spec = {"lines": {"native": {"devices": SPEC["lines"]["native"]["devices"] | squatter}}}
    async with Site(parse_spec(spec), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        known = Device(
            id="roof", port="native", model="energyccm/ccm4", unit=9, serial=serial_of(site, "spare-1")
        )
        await field.configure(GRID, known)
        async with field.reader():
            await enter(field)
            site.press("spare-1")
            state = await field.mode(lambda state: state.assigned, "the known one's unit")
            assert (state.assigned, state.devices[0].device) == ([9], "roof")
            site.press("spare-2")
            state = await field.mode(lambda state: len(state.assigned) == 2, "the other one's unit")
            assert state.assigned == [3, 9]


async def test_thirty_third_device_is_refused_with_the_reason(nats: NatsServer, tmp_path: Path) -> None:
    many = [GRID.model_copy(update={"id": f"d{unit}", "unit": unit, "poll_s": 60}) for unit in range(1, 33)]
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(*many)
        async with field.reader():
            await enter(field)
            site.press("spare-1")
            state = await field.mode(lambda state: state.problem, "the refusal")
            assert "32 native devices" in str(state.problem)
            assert site.devices["spare-1"].unit == 0


async def test_killed_in_the_middle_it_restarts_in_reading_mode_and_forgets_nobody(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(GRID)
        async with field.reader() as process:
            await enter(field)
            site.press("spare-1")
            await field.mode(lambda state: state.assigned == [2], "a unit")
            process.signal(9)
        async with field.reader():
            state = await field.mode(lambda state: state.mode == "reading", "reading mode")
            assert [each.unit for each in state.devices] == [2]
            seq = await field.read("grid")
            assert await field.read("grid", above=seq) > seq
            await enter(field)
            site.press("spare-2")
            state = await field.mode(lambda state: state.assigned, "the next unit")
            assert state.assigned == [3]


async def test_killed_between_the_write_and_its_report_the_device_gets_the_same_unit_again(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure(GRID)
        async with field.reader() as process:
            seq = await field.read("grid")
            await enter(field)
            site.press("spare-1")
            await until(lambda: site.devices["spare-1"].unit == 2, deadline_s=20, what="the write")
            process.signal(9)
        async with field.reader():
            await field.read("grid", above=seq + 2)
            await enter(field)
            site.press("spare-1")
            state = await field.mode(lambda state: state.assigned, "the unit")
            assert state.assigned == [2]
            assert state.devices[-1].serial == serial_of(site, "spare-1")


async def test_without_a_native_line_the_mode_is_refused(nats: NatsServer, tmp_path: Path) -> None:
    spec = {"lines": {"ext": {"devices": {"house": {"kind": "sdm630", "unit": 2}}}}}
    async with Site(parse_spec(spec), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        await field.configure()
        async with field.reader():
            with pytest.raises(RefusedError) as refused:
                await enter(field, line="ext")
            assert refused.value.code == "no-native-line"


async def test_secondary_device_is_read_through_its_principal(nats: NatsServer, tmp_path: Path) -> None:
    devices = {
        "grid": {"kind": "ccm4", "unit": 1},
        "cellar": {"kind": "ccm4", "behind": "grid", "index": 2, "measures": "load"},
    }
    spec = parse_spec({"lines": {"native": {"devices": devices}}})
    async with Site(spec, tmp_path) as site, field_of(nats, site, tmp_path) as field:
        cellar = Device.model_validate(
            GRID.model_dump() | {"id": "cellar", "secondary": {"via": "grid", "index": 2}}
        )
        await field.configure(GRID, cellar)
        site.freeze(on=True)
        async with field.reader():
            await field.read("cellar", above=1)
            reading = await field.reading("cellar")
            truth = site.truth()["devices"]["cellar"]["values"]
            assert reading.values["serial"] == str(truth["serial_number"])
            assert reading.values["p"] == pytest.approx(truth["p"], abs=0.051)
            assert reading.values["e_imp"] == pytest.approx(truth["e_imp"], abs=0.0011)
