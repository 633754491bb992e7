"""Balance, energy and electrical identities of the simulated site."""

import math

import pytest

from ccm_sim.electrical import NJ_PER_WH, Point, passed, quantities
from ccm_sim.instrument import CRASH_MARGIN_NJ, Device, DeviceSpec
from ccm_sim.physics import Outputs, Plant, sun
from ccm_sim.state import SAVE_EVERY_S

MOMENTS = [seconds * 7.3 for seconds in range(200)]
"""A whole simulated day of 24 minutes, every few minutes of it."""


@pytest.mark.parametrize("outputs", [Outputs(), Outputs(relay_1=True, relay_2=True, analog_v=7.5)])
def test_grid_is_load_less_production_on_each_phase(outputs: Outputs) -> None:
    plant = Plant()
    for moment in MOMENTS:
        flows = plant.flows(moment, outputs)
        for phase in range(3):
            production = flows.roof_mw[phase] + flows.farm_mw[phase]
            assert flows.grid_mw[phase] + production == flows.load_mw[phase]
            assert flows.load_mw[phase] > 0
            assert production >= 0


def test_site_stays_within_what_is_plausible() -> None:
    plant = Plant()
    for moment in MOMENTS:
        flows = plant.flows(moment, Outputs(relay_1=True))
        assert all(220_000 < volts < 240_000 for volts in flows.v_mv)
        assert 49_950 <= flows.f_mhz <= 50_050
        assert sum(flows.roof_mw) <= 5_000_000
        assert sum(flows.farm_mw) <= 8_000_000


def test_day_has_one_bell_of_sun() -> None:
    assert [sun(hour) for hour in (0.0, 5.9, 20.1, 23.9)] == [0.0] * 4
    assert sun(13.0) == pytest.approx(1.0)
    morning = [sun(6.0 + step / 10) for step in range(70)]
    assert morning == sorted(morning)


def test_clouds_pass_and_go() -> None:
    plant = Plant(start_hour=0.0)
    share = [
        sum(plant.flows(hour * 60.0, Outputs()).roof_mw) / (5_000_000 * sun(hour % 24))
        for hour in map(float, range(8, 18))
    ]
    fine = [sum(Plant(seed=seed).flows(0, Outputs()).roof_mw) / (5_000_000 * sun(10.0)) for seed in range(20)]
    assert all(0.29 < one <= 1.001 for one in share + fine)
    assert min(fine) < 0.6
    assert max(fine) > 0.99


def test_same_seed_gives_the_same_site_and_another_another() -> None:
    assert Plant(seed=3).flows(99.0, Outputs()) == Plant(seed=3).flows(99.0, Outputs())
    assert Plant(seed=3).flows(99.0, Outputs()) != Plant(seed=4).flows(99.0, Outputs())


@pytest.mark.parametrize(
    ("outputs", "phase", "watts"),
    [
        (Outputs(relay_1=True), 0, 2000),
        (Outputs(relay_2=True), 1, 1200),
        (Outputs(analog_v=10.0), 2, 3000),
        (Outputs(analog_v=4.5), 2, 1350),
    ],
)
def test_output_switches_its_load_on_its_phase(outputs: Outputs, phase: int, watts: int) -> None:
    before, after = (Plant().flows(5.0, these) for these in (Outputs(), outputs))
    expected = [watts * 1000 if at == phase else 0 for at in range(3)]
    for quantity in ("load_mw", "grid_mw"):
        gained = [
            new - old for new, old in zip(getattr(after, quantity), getattr(before, quantity), strict=True)
        ]
        assert gained == pytest.approx(expected, abs=1)  # one mW of rounding
    assert after.v_mv[phase] < before.v_mv[phase]


def test_quantities_of_a_balanced_load_are_those_of_the_textbook() -> None:
    # 3 x 230 V, 2300 W and cos phi 0.8 per phase: S = 2875 VA, Q = 1725 var, I = 12.5 A, 398.4 V between phases
    values = quantities(Point((2_300_000,) * 3, (1_725_000,) * 3, (230_000,) * 3, 50_000))
    assert values["s1"] == pytest.approx(2875)
    assert values["i2"] == pytest.approx(12.5)
    assert values["pf"] == pytest.approx(0.8)
    assert values["v31"] == pytest.approx(398.37, abs=0.01)
    assert values["in"] == pytest.approx(0, abs=1e-9)
    assert values["p"] == pytest.approx(6900)


def test_neutral_carries_the_current_of_a_single_loaded_phase() -> None:
    values = quantities(Point((0, 2_300_000, 0), (0, 0, 0), (230_000,) * 3, 50_000))
    assert values["in"] == pytest.approx(10.0)
    assert values["pf2"] == 1.0


def test_exporting_phase_has_a_negative_power_factor() -> None:
    assert quantities(Point((-1_000_000, 0, 0), (0, 0, 0), (230_000,) * 3, 50_000))["pf1"] == -1.0


def test_one_kilowatt_for_one_hour_is_one_kilowatt_hour() -> None:
    point = Point((1_000_000, 0, 0), (0, 0, 0), (230_000,) * 3, 50_000)
    assert passed(point, 3600 * 1_000_000)["e_imp"] == 1000 * NJ_PER_WH


def test_counters_never_step_back_and_are_the_integral_of_the_power() -> None:
    grid = Device(DeviceSpec("grid", "ccm4", 1))
    roof = Device(DeviceSpec("roof", "goodwe-dns", 100))
    plant, elapsed_us = Plant(day_minutes=1.0), 0
    started = dict(grid.counters), dict(roof.counters)
    net_nj = imported_nj = produced_nj = 0
    for step in range(200):
        flows = plant.flows(elapsed_us / 1e6, Outputs(relay_1=step % 7 > 3))
        grid.observe(flows)
        roof.observe(flows)
        before = dict(grid.counters)
        dt_us = 250_000 + step % 3
        grid.advance(dt_us)
        roof.advance(dt_us)
        elapsed_us += dt_us
        net_nj += sum(flows.grid_mw) * dt_us
        imported_nj += max(sum(flows.grid_mw), 0) * dt_us
        produced_nj += sum(flows.roof_mw) * dt_us
        assert all(grid.counters[name] >= before[name] for name in before)
    gained = {name: grid.counters[name] - started[0][name] for name in started[0]}
    assert gained["e_imp"] == imported_nj
    assert gained["e_imp"] - gained["e_exp"] == net_nj
    assert sum(gained[f"e_imp{phase}"] - gained[f"e_exp{phase}"] for phase in (1, 2, 3)) == net_nj
    assert roof.counters["e_total"] - started[1]["e_total"] == produced_nj
    assert math.isclose(produced_nj / NJ_PER_WH, produced_nj / 3.6e12)


def test_energy_of_the_day_begins_anew_at_midnight() -> None:
    roof = Device(DeviceSpec("roof", "goodwe-dns", 100))
    plant = Plant(start_hour=12.0)
    roof.observe(plant.flows(0.0, Outputs()))
    roof.advance(3_600_000_000)
    assert roof.counters["e_day"] > 0
    roof.observe(plant.flows(13 * 60.0, Outputs()))
    assert roof.counters["e_day"] == 0


def test_counters_after_a_crash_are_above_all_that_was_read() -> None:
    saved, running = Device(DeviceSpec("a", "ccm4", 1)), Device(DeviceSpec("a", "ccm4", 1))
    at_save = dict(running.counters)
    heavy = Plant(start_hour=20.5).flows(0.0, Outputs(relay_1=True, relay_2=True, analog_v=10.0))
    running.observe(heavy)
    running.advance(round((SAVE_EVERY_S + 1) * 1e6))
    saved.restore(at_save, was_closed=False)
    assert all(saved.counters[name] > running.counters[name] for name in at_save)
    assert CRASH_MARGIN_NJ // NJ_PER_WH == 50
    saved.restore(at_save, was_closed=True)
    assert saved.counters == at_save
