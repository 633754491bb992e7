"""What becomes of devices that synchronisation gave a unit, in the section `devices`."""

from typing import Any

from ccm_api.adoption import with_assigned
from ccm_contracts.config.field import Device
from ccm_contracts.state import Assigned
from ccm_kit.clock import SystemClock


def assigned(unit: int, serial: str) -> Assigned:
    return Assigned(line="native", unit=unit, serial=serial, model="energyccm/ccm4", at=SystemClock().now())


def device(id_: str, unit: int, **more: Any) -> Device:
    return Device(id=id_, port="native", model="energyccm/ccm4", unit=unit, **more)


def test_new_device_is_added_with_its_serial_number() -> None:
    (grid, fresh) = with_assigned([device("grid", 1)], [assigned(2, "21000007")])
    assert grid == device("grid", 1)
    expected = ("ccm-21000007", 2, "21000007", 1.0, "CcM 21000007")
    assert (fresh.id, fresh.unit, fresh.serial, fresh.poll_s, fresh.alias) == expected


def test_known_serial_is_not_added_twice_but_moved_with_what_is_behind_it() -> None:
    known = device("roof", 2, serial="7", alias="Roof")
    behind = device("cellar", 2, secondary={"via": "roof", "index": 1})
    after = with_assigned([known, behind], [assigned(5, "7")])
    assert [(each.id, each.unit) for each in after] == [("roof", 5), ("cellar", 5)]
    assert after[0].alias == "Roof"


def test_device_configured_by_hand_at_that_unit_gets_the_serial_number() -> None:
    (only,) = with_assigned([device("grid", 2, alias="Grid")], [assigned(2, "7")])
    assert (only.id, only.alias, only.serial) == ("grid", "Grid", "7")


def test_same_assignment_twice_changes_nothing_more() -> None:
    once = with_assigned([], [assigned(1, "7")])
    assert with_assigned(once, [assigned(1, "7")]) == once


def test_taken_id_gives_way_to_line_and_unit() -> None:
    after = with_assigned([device("ccm-7", 1)], [assigned(2, "7")])
    assert [each.id for each in after] == ["ccm-7", "native-2"]
