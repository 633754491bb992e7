"""Flows of a plant, in numbers worked out by hand from the manual's section 7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccm_contracts.config.field import Plant
from ccm_solar.balance import flows_of, power_of

HOUSE = Plant(id="house", production=["roof"], grid=["grid"])
STORED = Plant(id="house", production=["roof"], grid=["grid"], battery=["cell"])
POWER = st.floats(-1e6, 1e6, allow_nan=False)


def test_importing_house_uses_all_its_production() -> None:
    flows = flows_of(HOUSE, {"roof": {"p": 1500.0}, "grid": {"p": 500.0}})

    assert (flows.p_load, flows.p_self, flows.p_imp, flows.p_exp) == (2000.0, 1500.0, 500.0, 0.0)
    assert (flows.self_consumption, flows.self_sufficiency) == (1.0, 0.75)


def test_exporting_house_has_negative_grid_power() -> None:
    flows = flows_of(HOUSE, {"roof": {"p": 3000}, "grid": {"p": -2608}})

    assert (flows.p_load, flows.p_self, flows.p_imp, flows.p_exp) == (392.0, 392.0, 0.0, 2608.0)
    assert (flows.self_consumption, flows.self_sufficiency) == (0.1307, 1.0)


def test_inverter_that_consumes_at_night_keeps_the_identity() -> None:
    flows = flows_of(HOUSE, {"roof": {"p": -4.2}, "grid": {"p": 304.2}})

    assert (flows.p_prod, flows.p_load, flows.p_self) == (-4, 300, 0)
    assert (flows.self_consumption, flows.self_sufficiency) == (None, 0.0)


def test_house_without_consumption_has_no_self_sufficiency() -> None:
    flows = flows_of(HOUSE, {"roof": {"p": 10.0}, "grid": {"p": -10.0}})

    assert (flows.p_load, flows.self_sufficiency, flows.self_consumption) == (0.0, None, 0.0)


def test_several_devices_of_a_role_add_up() -> None:
    plant = Plant(id="farm", production=["east", "west"], grid=["grid"])

    flows = flows_of(plant, {"east": {"p": 10.4}, "west": {"p": 10.4}, "grid": {"p": 0.3}})

    assert (flows.p_prod, flows.p_load) == (21, 21)


def test_discharging_battery_feeds_the_house() -> None:
    flows = flows_of(STORED, {"roof": {"p": 100.0}, "grid": {"p": 0.0}, "cell": {"p_bat": 400.0}})

    assert (flows.p_bat, flows.p_load, flows.self_sufficiency) == (400.0, 500.0, 1.0)


def test_charging_battery_counts_as_self_consumption() -> None:
    flows = flows_of(STORED, {"roof": {"p": 2000.0}, "grid": {"p": -500.0}, "cell": {"p_bat": -900.0}})

    assert (flows.p_load, flows.p_self, flows.self_consumption) == (600.0, 1500.0, 0.75)


def test_hybrid_inverter_is_not_counted_twice() -> None:
    plant = Plant(id="house", production=["hybrid"], grid=["grid"], battery=["hybrid"])

    flows = flows_of(plant, {"hybrid": {"p": 2500.0, "p_bat": 1000.0}, "grid": {"p": 300.0}})

    assert (flows.p_prod, flows.p_bat, flows.p_load) == (1500.0, 1000.0, 2800.0)


def test_missing_production_leaves_the_grid_known() -> None:
    flows = flows_of(HOUSE, {"grid": {"p": 500.0}})

    assert (flows.p_grid, flows.p_imp, flows.p_exp) == (500.0, 500.0, 0.0)
    assert (flows.p_prod, flows.p_load, flows.p_self) == (None, None, None)
    assert (flows.self_consumption, flows.self_sufficiency, flows.lacking) == (None, None, ("roof",))


def test_missing_grid_leaves_the_production_known() -> None:
    flows = flows_of(HOUSE, {"roof": {"p": 500.0}})

    assert (flows.p_prod, flows.p_grid, flows.p_load, flows.p_self) == (500.0, None, None, None)


def test_missing_battery_leaves_the_load_unknown() -> None:
    flows = flows_of(STORED, {"roof": {"p": 500.0}, "grid": {"p": 5.0}})

    assert (flows.p_load, flows.p_bat, flows.p_self, flows.lacking) == (None, None, 500.0, ("cell",))


def test_one_unknown_device_of_a_role_makes_its_sum_unknown() -> None:
    plant = Plant(id="farm", production=["east", "west"], grid=["grid"])

    flows = flows_of(plant, {"east": {"p": 10.0}, "west": {"p": None}, "grid": {"p": 1.0}})

    assert (flows.p_prod, flows.lacking) == (None, ("west",))


@pytest.mark.parametrize(
    ("values", "tenths"),
    [
        ({"p": 12.34}, 123),
        ({"p": 7, "p1": 1.0, "p2": 1.0, "p3": 1.0}, 70),
        ({"p1": 100.0, "p2": -20.0, "p3": 0.5}, 805),
        ({"p1": 3.0}, 30),
        ({"p": None, "p1": 3.0}, 30),
        ({"p1": 100.0, "p2": None, "p3": 0.5}, None),
        ({"p": "fault"}, None),
        ({"v1": 230.0}, None),
        ({}, None),
    ],
)
def test_power_is_the_total_or_the_sum_of_phases(
    values: dict[str, float | str | None], tenths: int | None
) -> None:
    assert power_of(values) == tenths


@given(roof=POWER, grid=POWER, cell=POWER)
def test_identity_holds_exactly_in_whole_watts(roof: float, grid: float, cell: float) -> None:
    flows = flows_of(STORED, {"roof": {"p": roof}, "grid": {"p": grid}, "cell": {"p_bat": cell}})

    assert flows.p_prod is not None
    assert flows.p_grid is not None
    assert flows.p_bat is not None
    assert flows.p_imp is not None
    assert flows.p_exp is not None
    assert flows.p_load == flows.p_prod + flows.p_grid + flows.p_bat
    assert flows.p_imp - flows.p_exp == flows.p_grid
    assert abs(flows.p_prod - roof) <= 0.5501  # half a watt, after half a tenth


@given(roof=POWER, grid=POWER)
def test_ratios_are_shares(roof: float, grid: float) -> None:
    flows = flows_of(HOUSE, {"roof": {"p": roof}, "grid": {"p": grid}})

    for ratio in (flows.self_consumption, flows.self_sufficiency):
        assert ratio is None or 0 <= ratio <= 1
