"""SunSpec devices: their chain found, their values and commands placed as the makers' documents have them.

SolarEdge, "SunSpec Logging in SolarEdge Inverters", technical note: register mapping tables (a common model of 65
registers, so that the inverter model begins at 40069). Fronius, "GEN24 Modbus TCP and RTU" and its register maps for
integers and scale factors (addresses one higher than on the wire).
"""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.decode import decode
from ccm_bus_reader.encode import encode
from ccm_bus_reader.model import Profile
from ccm_bus_reader.plan import WireCost, plan
from ccm_bus_reader.point import Point
from ccm_bus_reader.sunspec.chain import MOST_MODELS
from ccm_bus_reader.sunspec.discovery import Discovery
from ccm_bus_reader.sunspec.table import tables
from ccm_contracts.messages import Value
from ccm_contracts.metrics import METRICS
from tests.support.sunspec_device import (
    CONTROLS,
    INVERTER,
    INVERTER_VALUES,
    METER,
    NOT_IMPLEMENTED,
    Held,
    Model,
    common,
    device,
    long,
    text,
)

CATALOG = load_catalog()


class Registers:
    """A device's memory; reads outside of it are refused."""

    def __init__(self, base: int, words: Sequence[int]) -> None:
        self.base = base
        self.words = list(words)
        self.reads: list[tuple[int, int]] = []

    def read(self, address: int, count: int) -> list[int] | None:
        self.reads.append((address, count))
        start = address - self.base
        return self.words[start : start + count] if 0 <= start <= len(self.words) - count else None


def discover(registers: Registers, model: str = "sunspec/inverter", attempt: int = 0) -> Profile | str:
    discovery = Discovery(CATALOG.find(model), attempt)
    while discovery.read is not None:
        discovery.answered(registers.read(discovery.read.address, discovery.read.count))
    return discovery.profile or discovery.problem


def found(registers: Registers, model: str = "sunspec/inverter") -> Profile:
    profile = discover(registers, model)
    assert isinstance(profile, Profile), profile
    return profile


def values(profile: Profile, registers: Registers) -> dict[str, Value]:
    got: dict[str, Value] = {}
    for block in plan(profile.points, WireCost.tcp(), max_block=profile.limits.max_block):
        words = registers.read(block.address, block.count)
        assert words is not None, block
        got |= decode(block, words)
    return got


def points(profile: Profile) -> dict[str, Point]:
    return {point.metric: point for point in profile.points}


SOLAREDGE = device(common("7E123ABC", length=65), INVERTER, common("M-42", length=65), METER)


def test_solaredge_inverter_lies_where_its_technical_note_says() -> None:
    profile = found(Registers(40000, SOLAREDGE))
    where = {metric: point.address for metric, point in points(profile).items()}
    assert where["serial"] == 40052
    assert where["firmware"] == 40044
    assert where["i"] == 40071
    assert where["p"] == 40083
    assert where["e_total"] == 40093
    assert where["p_dc"] == 40100
    assert where["status"] == 40107
    assert points(profile)["p"].scale_register == 40084


def test_solaredge_meter_behind_the_inverter_with_its_own_common_model() -> None:
    registers = Registers(40000, SOLAREDGE)
    profile = found(registers, "sunspec/meter")
    where = {metric: point.address for metric, point in points(profile).items()}
    assert where["serial"] == 40171
    assert where["p"] == 40206
    assert where["e_exp"] == 40226
    got = values(profile, registers)
    assert (got["p"], got["e_exp"], got["e_imp"]) == (-1500, 5, 7)
    assert got["serial"] == "M-42"
    assert (
        discover(registers, "sunspec/meter-2")
        == "has no SunSpec meter number 2; its models are 1, 103, 1, 203"
    )


@pytest.mark.parametrize("base", [40000, 50000, 0])
def test_values_are_the_same_wherever_the_marker_is(base: int) -> None:
    registers = Registers(base, device(common("SN1"), INVERTER))
    expected = INVERTER_VALUES | {"serial": "SN1", "firmware": "3.2468", "model": "SE5K"}
    assert values(found(registers), registers) == expected


def test_chain_ends_where_the_device_refuses_to_go_on() -> None:
    registers = Registers(40000, device(common("SN1"), INVERTER, is_ended=False))
    assert points(found(registers))["p"].address == 40084


def test_what_is_no_device_of_this_kind_is_told() -> None:
    assert "no marker SunS at register 40000, 50000, 0" in str(discover(Registers(40000, [1] * 100)))
    assert (
        discover(Registers(0, device(common("x"), METER))) == "has no SunSpec inverter; its models are 1, 203"
    )
    assert "has no SunSpec inverter" in str(discover(Registers(0, device())))
    zeros = Registers(40000, device(is_ended=False) + [0] * 1000)
    assert "has no SunSpec inverter" in str(discover(zeros))
    assert len(zeros.reads) == MOST_MODELS + 1
    assert "has no SunSpec inverter" in str(
        discover(Registers(40000, device(Model(103, 0xFFF0), is_ended=False)[:50]))
    )


def test_device_that_is_silent_where_it_has_nothing_is_looked_for_elsewhere_next_time() -> None:
    firsts = []
    for attempt in range(4):
        discovery = Discovery(CATALOG.find("sunspec/inverter"), attempt)
        assert discovery.read is not None
        firsts.append(discovery.read.address)
    assert firsts == [40000, 50000, 0, 40000]


def test_common_model_of_a_published_capture() -> None:
    """pysunspec2, sunspec2/tests/test_modbus_client.py: a device with models 1 and 126."""
    capture = bytes.fromhex("0001 0042") + b"SunSpecTest".ljust(32, b"\0") + b"TestDevice-1".ljust(32, b"\0")
    capture += b"opt_a_b_c".ljust(16, b"\0") + b"1.2.3".ljust(16, b"\0") + b"sn-123456789".ljust(32, b"\0")
    capture += bytes.fromhex("0001 0000")
    words = [0x5375, 0x6E53, *(capture[at] << 8 | capture[at + 1] for at in range(0, len(capture), 2))]
    words += [126, 64, *[0] * 64]
    registers = Registers(40000, words + INVERTER.words() + [0xFFFF, 0])
    got = values(found(registers), registers)
    assert (got["serial"], got["firmware"], got["model"]) == ("sn-123456789", "1.2.3", "TestDevice-1")


FRONIUS = (
    common("34119102", length=65), INVERTER, Model(120, 26), Model(121, 30, {2: 820, 22: 1}), Model(122, 44),
    CONTROLS,
)  # fmt: skip


def module(name: str, current: int, voltage: int, power: int) -> list[int]:
    return [1, *text(name, 8), current, voltage, power, 0, 0, 0, 0, NOT_IMPLEMENTED, 4, 0, 0]


def mppt(*modules: list[int], factors: tuple[int, int, int] = (-2, -2, -1)) -> Model:
    held: Held = {2: [*factors, 0], 8: len(modules), 10: [word for each in modules for word in each]}
    return Model(160, 8 + 20 * len(modules), held)


GEN24 = mppt(
    module("MPPT 1", 512, 40020, 20490),
    module("MPPT 2", 300, 38000, 11400),
    module("StCha 3", 0, 39000, 25),
    module("StDisCha 4", 770, 39000, 30030),
)


def test_fronius_inputs_battery_and_limit_lie_where_its_register_map_says() -> None:
    storage = Model(124, 24, {8: 8350, 10: NOT_IMPLEMENTED, 22: -2, 24: NOT_IMPLEMENTED, 25: -2})
    registers = Registers(40000, device(*FRONIUS, GEN24, storage))
    profile = found(registers)
    where = {metric: point.address for metric, point in points(profile).items()}
    assert where["i_dc1"] == 40273 - 1
    assert where["v_dc1"] == 40274 - 1
    limit = profile.command("power-limit")
    assert limit is not None
    assert (limit.address, limit.enable, limit.scale) == (40233 - 1, 40237 - 1, Decimal("0.01"))
    assert encode(limit, 50) == [5000]
    got = values(profile, registers)
    assert (got["v_dc1"], got["i_dc1"], got["p_dc1"]) == (400.2, 5.12, 2049)
    assert (got["v_dc2"], got["p_dc2"]) == (380, 1140)
    assert got["p_bat"] == 3000.5  # discharge 3003.0 less charge 2.5
    assert got["soc"] == 83.5
    assert "p_dc3" not in got
    most = profile.command("power-max")
    assert most is not None
    assert encode(most, 8200) == [820]


def test_battery_of_a_gen24_as_traced() -> None:
    """A GEN24 that charges with 2609.8 W: registers of model 160 from github.com/evcc-io/evcc/issues/16256."""
    fixed = bytes.fromhex("fffc fffe ffff fffe ffff ffff 0004 ffff")
    charging = bytes.fromhex(
        "0003 5374436861203300 0000000000000000 ee97 a6e3 65f2 353616c9 2e814b77 8000 ffff ffffffff"
    )
    words = [int.from_bytes(fixed[at : at + 2], "big") for at in range(0, len(fixed), 2)]
    words += module("MPPT 1", 0, 0, 16000) + module("MPPT 2", 0, 0, 16967)
    words += [int.from_bytes(charging[at : at + 2], "big") for at in range(0, len(charging), 2)]
    words += module("StDisCha 4", 0, 0, 0)
    registers = Registers(40000, device(common("x"), INVERTER, Model(160, 88, {2: words})))
    got = values(found(registers), registers)
    assert got["p_bat"] == -2609.8
    assert (got["p_dc1"], got["p_dc2"]) == (1600, 1696.7)
    assert "p_dc3" not in got


def test_more_inputs_than_one_read_holds_are_read_with_the_factors_found() -> None:
    inputs = mppt(*(module(f"Input {n}", 100 * n, 6000 + n, 1000 * n) for n in range(1, 13)))
    registers = Registers(40000, device(common("x"), INVERTER, inputs))
    profile = found(registers)
    assert points(profile)["p_dc12"].scale_register is None
    got = values(profile, registers)
    assert (got["v_dc12"], got["i_dc12"], got["p_dc12"]) == (60.12, 12, 1200)
    assert all(count <= 125 for _, count in registers.reads)


def test_der_models_with_their_static_factors() -> None:
    der = Model(
        701,
        153,
        {4: 3, 6: long(0), 10: -1234, 17: long(60015), 19: long(98765432100, 4), 41: -400, 93: 2402,
         114: -1, 115: -3, 116: 0, 120: 0, 119: NOT_IMPLEMENTED},
    )  # fmt: skip
    port = [0, 1, *text("PV1", 8), 120, 4000, 480, *long(1, 4), *long(1, 4), 250, 1, 0, 0]
    battery = [1, 2, *text("BAT", 8), 120, 4000, -480, *long(1, 4), *long(1, 4), 250, 1, 0, 0]
    ports = Model(714, 18 + 50, {4: 2, 6: 480, 15: [-1, -1, 1, 0, 0], 20: port + battery})
    controls = Model(704, 65, {14: 0, 15: 1000, 54: -1})
    registers = Registers(0, device(common("x"), der, ports, controls, Model(713, 7, {4: 655, 7: 0, 8: -1})))
    profile = found(registers)
    assert "q" not in points(profile)  # its scale factor is not implemented
    got = values(profile, registers)
    assert (got["p"], got["p1"], got["v3"], got["f"]) == (-1234, -400, 240.2, 60.015)
    assert (got["e_total"], got["status"]) == (98765432.1, "Running")
    assert (got["v_dc1"], got["i_dc1"], got["p_dc1"], got["p_dc"]) == (400, 12, 4800, 4800)
    assert "p_dc2" not in got
    assert got["soc"] == 65.5
    limit = profile.command("power-limit")
    assert limit is not None
    assert encode(limit, 99.5) == [995]


def test_floats_and_phases_that_the_model_does_not_have() -> None:
    held: Held = {
        2: [0x4148, 0],
        22: [0x4504, 0xD000],
        24: [0x7FC0, 0],
        30: [0x42C7, 0x3333],
        48: 4,
        50: [0, 1],
    }
    registers = Registers(40000, device(common("x"), Model(111, 60, held)))
    profile = found(registers)
    assert not {"v2", "i3", "v12"} & points(profile).keys()
    got = values(profile, registers)
    assert (got["i"], got["p"], got["f"], got["fault"]) == (12.5, 2125, None, "Ground fault")


def test_what_is_not_implemented_is_unknown() -> None:
    everything: Held = {
        14: 0x8000, 15: 0, 18: 0x8000, 20: 0x8000, 22: 0x8000, 24: long(0), 31: 0x8000, 33: 0x8000,
    }  # fmt: skip
    registers = Registers(40000, device(common("", firmware=""), Model(103, 50, everything)))
    got = values(found(registers), registers)
    assert {metric for metric, value in got.items() if value is not None} == {"model"}


def test_model_that_is_shorter_than_usual_lacks_what_is_behind_its_end() -> None:
    short = Model(103, 30, {at: word for at, word in INVERTER.held.items() if at < 32})
    registers = Registers(40000, device(common("x"), short))
    assert "temp" not in points(found(registers))


def test_tables_name_metrics_of_the_vocabulary_and_cover_the_models_that_the_issue_lists() -> None:
    for table in tables():
        assert {row.metric for row in table.points} <= METRICS.keys()
        assert all(row.offset <= table.length + 1 for row in table.points)
    known = {model for table in tables() for model in table.ids}
    passed_over = {702, 703, *range(705, 713)}  # ratings and curves: nothing in them is measured
    wanted = {
        1,
        *range(101, 104),
        *range(111, 114),
        *range(120, 125),
        160,
        *range(201, 205),
        *range(211, 215),
    }
    assert known >= wanted | (set(range(701, 715)) - passed_over)


def test_models_that_nobody_knows_are_passed_over_however_long() -> None:
    """Makers' own models have numbers from 64001; one of 300 registers is longer than any read."""
    own = [Model(64001, 300), Model(65000, 0), Model(126, 226)]
    registers = Registers(40000, device(common("SN1"), *own, INVERTER))
    profile = found(registers)
    assert points(profile)["p"].address == 40000 + 2 + 68 + 302 + 2 + 228 + 14
    assert values(profile, registers)["p"] == INVERTER_VALUES["p"]
    assert max(count for _, count in registers.reads) <= profile.limits.max_block


def test_serial_number_is_that_of_the_common_model_before_the_meter() -> None:
    """Behind one unit a chain may tell of several devices, each with a common model; the last before a model counts."""
    registers = Registers(
        40000, device(common("INVERTER"), INVERTER, common("M-1"), METER, common("M-2"), METER)
    )
    serials = [
        values(found(registers, model), registers)["serial"]
        for model in ("sunspec/inverter", "sunspec/meter", "sunspec/meter-2")
    ]
    assert serials == ["INVERTER", "M-1", "M-2"]


def test_inverter_of_ieee_1547_as_in_the_test_data_of_pysunspec2() -> None:
    """Values and factors of model 701 in github.com/sunspec/pysunspec2, tests/test_data/device_1547.json."""
    held: Held = {
        2: 3, 3: 2, 10: 9800, 11: 10000, 12: 200, 13: 985, 14: 411, 15: 2400, 16: 2400, 17: long(60010),
        19: long(150, 4), 23: long(0, 4), 35: 450, 36: 550, 41: 3200, 42: 3333, 43: 80, 44: 984, 45: 137,
        113: -1, 114: -1, 115: -3, 116: 0, 117: -3, 118: 0, 119: 0, 120: 3, 121: 3, 122: -1,
    }  # fmt: skip
    registers = Registers(40000, device(common("sn-123456789"), Model(701, 153, held)))
    got = values(found(registers), registers)
    expected = {
        "p": 9800, "s": 10000, "q": 200, "pf": 0.985, "i": 41.1, "f": 60.01, "e_total": 150, "temp": 55,
        "p1": 3200, "s1": 3333, "q1": 80, "pf1": 0.984, "i1": 13.7,
    }  # fmt: skip
    assert {metric: got[metric] for metric in expected} == expected
