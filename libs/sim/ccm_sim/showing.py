"""What each kind of device shows of its state, by the names that its register map uses.

Pure. Full resolution; energies in whole Wh. Serial numbers, versions and ratings are made up.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ccm_sim.electrical import NJ_PER_WH, Point, in_wh, quantities
from ccm_sim.encoding import Value

_INVERTER_EFFICIENCY = 0.97
_GOODWE_NORMAL, _GOODWE_WAIT = 1, 0
_HUAWEI_ON_GRID, _HUAWEI_NO_SUN = 0x0200, 0xA000
"""Status codes: WORK_MODES of marcelblijleven/goodwe const.py; DEVICE_STATUS of wlcrs/huawei-solar-lib."""


@dataclass(frozen=True, slots=True)
class State:
    """A device at one moment. Counters in nJ; `serial` None where it follows from the number."""

    point: Point
    counters: Mapping[str, int]
    unit: int
    mode: int
    hour: float
    ambient_c: float
    number: int
    serial: str | None


def _ccm4_values(state: State) -> dict[str, Value]:
    return {
        **quantities(state.point),
        **in_wh(state.counters),
        "serial_number": state.number,
        "firmware_word": 0x0104,
        "hardware_word": 2,
        "model_word": 0x0104,
        "unit": state.unit,
        "mode": state.mode,
        "temp": state.ambient_c + 9.0,
    }


def _sdm630_values(state: State) -> dict[str, Value]:
    values = quantities(state.point)
    number = {name: value for name, value in values.items() if isinstance(value, float)}
    energy = in_wh(state.counters)
    means = {
        "v_mean": (number["v1"] + number["v2"] + number["v3"]) / 3,
        "i_sum": number["i1"] + number["i2"] + number["i3"],
        "v_line_mean": (number["v12"] + number["v23"] + number["v31"]) / 3,
    }
    angles = {
        f"phi{phase}": math.degrees(math.atan2(number[f"q{phase}"], number[f"p{phase}"]))
        for phase in ("", "1", "2", "3")
    }
    distortion = {f"thd_v{phase}": 1.5 + 0.1 * phase for phase in (1, 2, 3)}
    distortion |= {f"thd_i{phase}": 6.0 + 0.5 * phase for phase in (1, 2, 3)}
    sums: dict[str, Value] = {
        "e_sum": (state.counters["e_imp"] + state.counters["e_exp"]) // NJ_PER_WH,
        "eq_sum": (state.counters["eq_imp"] + state.counters["eq_exp"]) // NJ_PER_WH,
    }
    for phase in (1, 2, 3):
        sums[f"e_sum{phase}"] = (
            state.counters[f"e_imp{phase}"] + state.counters[f"e_exp{phase}"]
        ) // NJ_PER_WH
    setup: dict[str, Value] = {"system_type": 3.0, "parity_stop": 0.0, "unit": state.unit, "baud_code": 2.0}
    return {
        **values,
        **energy,
        **means,
        "i_mean": means["i_sum"] / 3,
        **angles,
        **distortion,
        **sums,
        **setup,
        "serial_number": state.number,
    }


def _inverter_values(state: State) -> dict[str, Value]:
    values = quantities(state.point)
    p = values["p"]
    p_w = p if isinstance(p, float) else 0.0
    p_dc = p_w / _INVERTER_EFFICIENCY
    v_1, v_2 = (372.0 - p_w / 400, 355.0 - p_w / 400) if p_w > 0 else (0.0, 0.0)
    return {
        **values,
        **in_wh(state.counters),
        "p_dc": p_dc,
        "v_dc1": v_1,
        "v_dc2": v_2,
        "i_dc1": 0.55 * p_dc / v_1 if v_1 else 0.0,
        "i_dc2": 0.45 * p_dc / v_2 if v_2 else 0.0,
        "temp": state.ambient_c + 6.0 + p_w / 250,
        "fault": 0,
    }


def _goodwe_values(state: State) -> dict[str, Value]:
    values = _inverter_values(state)
    hour = state.hour
    is_producing = values["p_dc"] != 0.0
    return {
        **values,
        "serial": state.serial or f"15000DSN{state.number:08d}",
        "model_text": "GW5000D-NS",
        "dsp1_version": 8,
        "dsp2_version": 8,
        "arm_version": 10,
        "clock_year_month": 26 << 8 | 6,
        "clock_day_hour": 21 << 8 | int(hour),
        "clock_minute_second": int(hour * 60 % 60) << 8 | int(hour * 3600 % 60),
        "status": _GOODWE_NORMAL if is_producing else _GOODWE_WAIT,
        "warning": 0,
        "hours_total": 8123,
        "country": 3,
        "v_bus": 372.0,
    }


def _sun2000_values(state: State) -> dict[str, Value]:
    values = _inverter_values(state)
    is_producing = values["p_dc"] != 0.0
    return {
        **values,
        "model_text": "SUN2000-8KTL-M1",
        "serial": state.serial or f"HV{state.number:010d}",
        "part_number": "01074311-004",
        "firmware": "V100R001C00SPC158",
        "model_word": 428,
        "strings": 2,
        "trackers": 2,
        "p_rated": 8000,
        "p_max": 8800,
        "state_1": 0x0006 if is_producing else 0x0001,
        "state_2": 0x0007 if is_producing else 0x0000,
        "state_3": 0,
        "alarm_1": 0,
        "alarm_2": 0,
        "alarm_3": 0,
        "p_day_max": 7650,
        "efficiency": 100 * _INVERTER_EFFICIENCY if is_producing else 0.0,
        "insulation": 3.0,
        "status": _HUAWEI_ON_GRID if is_producing else _HUAWEI_NO_SUN,
    }


VALUES: Mapping[str, Callable[[State], dict[str, Value]]] = {
    "ccm4": _ccm4_values,
    "sdm630": _sdm630_values,
    "goodwe-dns": _goodwe_values,
    "sun2000": _sun2000_values,
}
"""By kind of device."""
