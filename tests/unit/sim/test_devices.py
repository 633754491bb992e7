"""Maps and encoding against documents and captures that are not the simulator's own."""

import re
import struct
from pathlib import Path

import pytest

from ccm_sim.devices import CCM4, GOODWE_DNS, MAPS, SDM630, SUN2000
from ccm_sim.encoding import RegisterMap, Row, image, registers, seen
from ccm_sim.instrument import Device, DeviceSpec, Kind
from ccm_sim.modbus import ModbusError
from ccm_sim.physics import Outputs, Plant

ROOT = Path(__file__).parents[3]

GW5000D_NS_UNUSED = (
    *range(30107, 30118), 30119, 30120, 30122, 30123, 30125, 30126, *range(30133, 30141), 30142, 30143,
)  # fmt: skip
"""Registers 30100..30149 that are 0xFFFF in marcelblijleven/goodwe tests/sample/dt/GW5000D-NS_running_data.hex."""


def row(map_: RegisterMap, name: str) -> Row:
    return next(found for found in map_.inputs + map_.holding if found.name == name)


def device(kind: Kind, *, hour: float = 12.0, mode: int = 1, outputs: Outputs | None = None) -> Device:
    made = Device(DeviceSpec("d", kind, 1, mode=mode))
    made.observe(Plant(start_hour=hour).flows(0.0, outputs or Outputs()))
    return made


def test_ccm4_map_is_the_page_in_docs() -> None:
    steps = {"": 1, "0.01 V": 100, "0.001 A": 1000, "0.1 W": 10, "0.1 var": 10, "0.1 VA": 10, "0.001": 1000}
    steps |= {"0.01 Hz": 100, "0.1 °C": 10, "0.001 kWh": 1, "0.001 kvarh": 1}
    documented = {}
    for line in (ROOT / "docs/ccm-modbus-map.md").read_text(encoding="utf-8").splitlines():
        if not (found := re.match(r"\| ([\d, ]+) \| ([us]\d\d) \| (.*?) \|(.*)\|$", line)):
            continue
        addresses = [int(address) for address in found[1].split(",")]
        names = [name.strip() for name in found[3].split(":")[0].split(",")]
        for at, name in zip(addresses, names if len(names) == len(addresses) else [""] * 9, strict=False):
            documented[at] = (found[2], name if at >= 16 else "", steps[found[4].strip()])
    simulated = {
        row.address: (row.type, row.name if row.address >= 16 else "", 1 if row.step_wh else row.scale)
        for row in CCM4.holding
    }
    assert simulated == documented


@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
def test_rows_of_a_map_do_not_overlap(map_: RegisterMap) -> None:
    for rows in (map_.holding, map_.inputs):
        taken = [at for row in rows for at in range(row.address, row.address + row.length)]
        assert len(taken) == len(set(taken))
        assert taken == sorted(taken)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("v1", 240.5, [0x0965]),
        ("f", 49.97, [0x1385]),
        ("temp", 1.4, [0x000E]),
        ("hours_total", 955, [0, 0x03BB]),
    ],
)
def test_goodwe_values_are_encoded_as_in_the_capture(name: str, value: float, expected: list[int]) -> None:
    assert registers(row(GOODWE_DNS, name), value, GOODWE_DNS.marks) == expected


def test_goodwe_energy_is_encoded_as_in_the_capture() -> None:
    assert registers(row(GOODWE_DNS, "e_total"), 881_799, GOODWE_DNS.marks) == [0, 0x2271]


def test_goodwe_leaves_unused_what_the_real_one_leaves_unused() -> None:
    answered = device("goodwe-dns").read(3, 30100, 73)
    unused = tuple(30100 + at for at in range(50) if answered[at] == 0xFFFF)
    assert unused == GW5000D_NS_UNUSED


def test_eastron_voltage_is_a_big_endian_float() -> None:
    # 43 66 33 34 is 230.2 V in Eastron's protocol document; the nearest float ends in 33
    high, low = registers(row(SDM630, "v1"), 230.2, SDM630.marks)
    assert high == 0x4366
    assert abs(low - 0x3334) <= 1


def test_eastron_answers_its_first_80_registers_and_no_more_at_once() -> None:
    meter = device("sdm630")
    assert len(meter.read(4, 0, 80)) == 80
    with pytest.raises(ModbusError, match="3"):
        meter.read(4, 0, 82)


@pytest.mark.parametrize(
    ("kind", "function", "address"),
    [
        ("ccm4", 3, 7), ("ccm4", 3, 60), ("ccm4", 3, 84), ("sdm630", 3, 0), ("sdm630", 4, 0x0178),
        ("goodwe-dns", 3, 30099), ("goodwe-dns", 3, 30173), ("sun2000", 3, 32091), ("sun2000", 3, 40000),
    ],
)  # fmt: skip
def test_unlisted_register_is_exception_2(kind: Kind, function: int, address: int) -> None:
    with pytest.raises(ModbusError) as caught:
        device(kind).read(function, address, 1)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("map_", "name", "mark"),
    [
        (CCM4, "v1", [0xFFFF]), (CCM4, "pf1", [0x8000]), (CCM4, "i1", [0xFFFF, 0xFFFF]), (CCM4, "p1", [0x8000, 0]),
        (SUN2000, "v1", [0xFFFF]), (SUN2000, "temp", [0x7FFF]), (SUN2000, "p", [0x7FFF, 0xFFFF]),
        (GOODWE_DNS, "temp", [0xFFFF]),
    ],
)  # fmt: skip
def test_unknown_value_is_the_mark_of_its_type(map_: RegisterMap, name: str, mark: list[int]) -> None:
    assert registers(row(map_, name), None, map_.marks) == mark


def test_counter_wraps_where_the_page_says() -> None:
    # docs/ccm-modbus-map.md: starts again at 0 after 4 294 967.295 kWh
    energy = row(CCM4, "e_imp")
    assert registers(energy, 4_294_967_295, CCM4.marks) == [0xFFFF, 0xFFFF]
    assert registers(energy, 4_294_967_296, CCM4.marks) == [0, 0]
    assert seen(energy, 12_345_678) == 12345.678


def test_gauge_out_of_range_stays_at_the_end_of_its_type() -> None:
    assert registers(row(CCM4, "v1"), 1e6, CCM4.marks) == [0xFFFE]
    assert registers(row(CCM4, "pf1"), -1e6, CCM4.marks) == [0x8001]


def test_negative_power_is_twos_complement_high_word_first() -> None:
    encoded = registers(row(CCM4, "p"), -123.4, CCM4.marks)
    assert struct.unpack(">i", struct.pack(">HH", *encoded))[0] == -1234


def test_text_is_padded_with_zero_bytes() -> None:
    encoded = image((Row(30000, "str", "model_text", words=4),), {"model_text": "SUN20"}, SUN2000.marks)
    assert [encoded[at] for at in range(30000, 30004)] == [0x5355, 0x4E32, 0x3000, 0]


def test_ccm_takes_a_new_address_and_refuses_a_wrong_one() -> None:
    meter = device("ccm4")
    meter.write(5, [7])
    assert (meter.unit, meter.read(3, 5, 1)) == (7, [7])
    for address, value, code in ((5, 0, 3), (5, 248, 3), (6, 3, 3), (4, 1, 2)):
        with pytest.raises(ModbusError) as caught:
            meter.write(address, [value])
        assert caught.value.code == code


def test_measuring_mode_turns_or_drops_the_sign() -> None:
    exporting = device("ccm4").encoded()["p"]
    assert isinstance(exporting, float)
    assert exporting < 0
    assert device("ccm4", mode=2).encoded()["p"] == -exporting
    unidirectional = device("ccm4", mode=0).encoded()["p"]
    assert isinstance(unidirectional, float)
    assert unidirectional > 0


def test_inverters_say_at_night_that_they_wait() -> None:
    # marcelblijleven/goodwe const.py WORK_MODES: 0 wait, 1 normal; huawei-solar-lib: 0x0200 on-grid, 0xA000 no sun
    assert [device("goodwe-dns", hour=hour).encoded()["status"] for hour in (12.0, 2.0)] == [1, 0]
    assert [device("sun2000", hour=hour).encoded()["status"] for hour in (12.0, 2.0)] == [0x0200, 0xA000]
