"""Registers to values: word orders, signs, markers, rounding, texts, direction; and back for writes."""

import json
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccm_bus_reader.decode import apply_direction, decode
from ccm_bus_reader.encode import encode, read_back
from ccm_bus_reader.plan import Block
from ccm_bus_reader.profile import Point, WritePoint
from ccm_kit.errors import RefusedError


def value_of(registers: list[int], **fields: Any) -> object:
    point = Point.model_validate({"metric": "p", "function": 3, "address": 0, "type": "u16"} | fields)
    start, end = point.span
    return decode(Block(point.function, start, end - start, (point,)), registers)[point.metric]


@pytest.mark.parametrize(
    ("type_", "order", "registers", "expected"),
    [
        ("s16", "big", [0xFFFF], -1),
        ("u16", "big", [0xFFFE], 65534),
        ("u16", "byte-swapped", [0x3412], 0x1234),
        ("s32", "big", [0xFFFF, 0xFFFE], -2),
        ("s32", "word-swapped", [0xFFFE, 0xFFFF], -2),
        ("u32", "byte-swapped", [0x3412, 0x7856], 0x12345678),
        ("u32", "little", [0x7856, 0x3412], 0x12345678),
        ("s64", "big", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD], -3),
        ("u64", "word-swapped", [4, 3, 2, 1], 0x0001_0002_0003_0004),
        ("f32", "big", [0x4366, 0x199A], 230.1),  # IEEE 754: 230.10000610351562
        ("f32", "word-swapped", [0x199A, 0x4366], 230.1),
        ("f64", "big", [0x40F8, 0x6A00, 0, 0], 100000),
    ],
)
def test_number_of_each_type_and_order(type_: str, order: str, registers: list[int], expected: float) -> None:
    assert value_of(registers, type=type_, order=order) == expected


def test_an_energy_below_zero_is_no_energy() -> None:
    assert value_of([0xFFFF, 0xFFFF], metric="e_imp", type="s32") is None
    assert value_of([0xFFFF, 0xFFFF], metric="e_imp", type="s32", scale=-1) == 1
    assert value_of([0x8000, 0], metric="e_exp", type="f32") == 0


def test_an_energy_shown_with_either_sign_counts_by_its_size() -> None:
    """Demand of github.com/wlcrs/huawei_solar/issues/54: exported energy that some meters show below zero."""
    assert value_of([0xFFFF, 0xCFC7], metric="e_exp", type="s32", scale="0.01", absolute=True) == 123.45


@pytest.mark.parametrize(
    ("held", "direction", "expected"), [(10, 1, 10), (10, 0, -10), (-10, 1, 10), (0, 0, 0)]
)
def test_the_sign_may_be_told_by_another_register(held: int, direction: int, expected: int) -> None:
    """Solis, github.com/jmccrohan/pysolarmanv5/issues/10: power 10 W at 33149, direction 1 while discharging."""
    registers = [direction, *struct.unpack(">2H", struct.pack(">i", held))]
    assert value_of(registers, metric="p_bat", type="s32", address=1, sign_register=0) == expected


def test_a_number_that_no_json_can_carry_is_unknown() -> None:
    assert value_of([0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF], type="f64", scale=1000) is None


def test_scaled_integer_prints_without_float_artefacts() -> None:
    assert json.dumps(value_of([2301], metric="v1", scale=0.1)) == "230.1"
    assert json.dumps(value_of([0, 1151], metric="i1", type="s32", scale="0.001")) == "1.151"


@pytest.mark.parametrize("pattern", [[0x7FC0, 0], [0xFFC0, 0], [0x7F80, 0], [0xFF80, 0]])
def test_nan_and_infinity_are_unknown(pattern: list[int]) -> None:
    assert value_of(pattern, type="f32") is None


@pytest.mark.parametrize(
    ("type_", "registers"),
    [("u16", [0xFFFF]), ("s16", [0x8000]), ("u32", [0xFFFF, 0xFFFF]), ("s32", [0x8000, 0])],
)
def test_marker_is_unknown_and_its_neighbour_is_not(type_: str, registers: list[int]) -> None:
    marker = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in registers), "big")
    assert value_of(registers, type=type_, invalid=[marker]) is None
    assert value_of([*registers[:-1], registers[-1] ^ 1], type=type_, invalid=[marker]) is not None


@pytest.mark.parametrize(
    ("factor", "expected"), [(0xFFFE, 12.34), (0, 1234), (1, 12340), (0x8000, None), (0x000B, None)]
)
def test_sunspec_scale_factor(factor: int, expected: float | None) -> None:
    assert value_of([1234, factor], type="s16", scale_register=1) == expected


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ([0, 12345, 0, 0], 1234.5),  # active power + and - of a TQ Energy Manager, one of which is 0
        ([0, 0, 0, 12345], -1234.5),
        ([0xFFFF, 0xFFFF, 0, 0], None),
        ([0, 0, 0xFFFF, 0xFFFF], None),
    ],
)
def test_value_that_a_second_one_is_subtracted_from(registers: list[int], expected: float | None) -> None:
    assert value_of(registers, type="u32", scale="0.1", less=2, invalid=[0xFFFFFFFF]) == expected
    swapped = registers[2:] + registers[:2]
    assert value_of(swapped, address=2, less=0, type="u32", scale="0.1", invalid=[0xFFFFFFFF]) == expected


@pytest.mark.parametrize(
    ("registers", "order", "expected"),
    [([0x0002, 5000, 0x0001], "big", 0x1_0002), ([0xFFFE, 5000, 0xFFFF], "word-swapped", -2)],
)
def test_a_high_word_that_lies_apart(registers: list[int], order: str, expected: int) -> None:
    """Deye's energy from the grid: low word in 78, the frequency (50.00 Hz) in 79, high word in 80."""
    assert value_of(registers, type="s32", high=2, order=order) == expected
    turned = registers[::-1]
    assert value_of(turned, type="s32", address=2, high=0, order=order) == expected


def test_bits_under_a_mask() -> None:
    """Growatt VPP V1.24, register 3000: the mode in the high byte, the state in the low one."""
    assert value_of([0x0605], metric="status", mask=0xFF00, values={6: "BatOnline"}) == "BatOnline"
    assert value_of([0x0605], metric="status", mask=0xFF, values={5: "Normal"}) == "Normal"
    assert value_of([0xFFFF], type="s16", mask=0xF0) == 15


def test_a_string_of_one_character_in_each_register() -> None:
    """nathanmarlor/foxess_modbus, modbus_controller.py: the model of FoxESS inverters from 30000 on."""
    registers = [ord(character) for character in "H1-5.0-E"] + [0, 0]
    assert value_of(registers, metric="model", type="string", length=10, wide=True) == "H1-5.0-E"
    swapped = [each << 8 for each in registers]
    assert (
        value_of(swapped, metric="model", type="string", length=10, wide=True, order="little") == "H1-5.0-E"
    )
    assert value_of([0, 65], metric="model", type="string", length=2, wide=True) is None


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ([0b101, 9, 0b10], "a, c, second b"),
        ([0, 9, 0], ""),
        ([0xFFFF, 9, 0b10], "second b"),
        ([0xFFFF, 9, 0xFFFF], None),
    ],
)
def test_bits_that_go_on_elsewhere(registers: list[int], expected: str | None) -> None:
    texts = {0: "a", 2: "c", 17: "second b"}
    assert value_of(registers, metric="fault", plus=[2], bits=texts, invalid=[0xFFFF]) == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"high": 5}, "high is for u32 and s32"),
        ({"type": "u32", "high": 5, "plus": [2]}, "one value only"),
        ({"type": "f32", "mask": 1}, "a mask is for whole numbers"),
        ({"mask": 0x10000}, "the mask is wider"),
        ({"wide": True}, "only a string is wide"),
        ({"metric": "status", "plus": [2]}, "only a text of bits"),
        ({"type": "u32", "high": 200}, "further than 125 registers"),
    ],
)
def test_an_impossible_point_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        value_of([0], **fields)


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ([410, 420, 0xFE52], 400),  # Victron GX, unit 100: power of the grid by phase, here -430 on the third
        ([410, 0x7FFF, 430], None),
        ([0x7FFF, 420, 430], None),
    ],
)
def test_values_that_are_added(registers: list[int], expected: int | None) -> None:
    assert value_of(registers, type="s16", plus=[1, 2], invalid=[0x7FFF]) == expected


def test_resolution_that_is_no_power_of_ten() -> None:
    assert value_of([0x4148, 0xCCCD], type="f32", resolution="0.5") == 12.5  # 12.55


def test_negative_zero_is_zero() -> None:
    assert json.dumps(value_of([0x8000, 0], type="f32")) == "0"


def test_float_too_large_for_its_step_stays() -> None:
    bits = struct.unpack(">2H", struct.pack(">f", 3.4e38))
    assert value_of(list(bits), type="f32") == pytest.approx(3.4e38)


def test_offset_is_added_after_the_scale() -> None:
    assert value_of([1250], metric="temp", scale="0.1", offset=-100) == 25


@pytest.mark.parametrize(
    ("fields", "registers", "expected"),
    [
        ({"values": {0: "Waiting", 1: "Normal"}}, [1], "Normal"),
        ({"values": {0: "Waiting"}}, [7], "7"),
        ({"bits": {0: "over-voltage", 3: "fan"}}, [0b1001], "over-voltage, fan"),
        ({"bits": {0: "over-voltage"}}, [0b110], "bit 1, bit 2"),
        ({"bits": {0: "over-voltage"}}, [0], ""),
        ({"text": "hex", "type": "u32"}, [0, 0xAB], "000000AB"),
        ({"text": "dotted"}, [0x0203], "2.3"),
        ({"type": "string", "length": 3}, [0x4343, 0x4D34, 0x0041], "CCM4"),
        ({"type": "string", "length": 2, "order": "byte-swapped"}, [0x4343, 0x344D], "CCM4"),
        ({"type": "string", "length": 2}, [0, 0], None),
        ({"type": "bool", "function": 2}, [1], "1"),
    ],
)
def test_texts(fields: dict[str, Any], registers: list[int], expected: str | None) -> None:
    assert value_of(registers, metric="status", **fields) == expected


def test_coil_of_a_number_metric_is_0_or_1() -> None:
    assert value_of([1], type="bool", function=1) == 1


def test_short_reply_is_refused() -> None:
    with pytest.raises(ValueError, match="reply has 1 of 2 registers"):
        value_of([1], type="u32")


def test_reversed_meter_swaps_signs_and_energies() -> None:
    values = {"p": 100, "p1": -3.5, "q": 0, "pf": 0.9, "v1": 230.1, "i1": 4, "s": 5, "p_dc": 7, "p_max": None,
              "e_imp": 10, "e_exp": 2, "e_imp3": 3, "e_exp3": 4, "e_imp_t2": 5, "e_exp_t2": 6, "eq_imp": 1,
              "eq_exp": 8, "eq_q1": 1, "eq_q3": 3, "status": "Normal", "p2": None}  # fmt: skip
    assert apply_direction(values, "normal") == values
    turned = apply_direction(values, "reversed")
    assert turned == values | {
        "p": -100, "p1": 3.5, "pf": -0.9, "e_imp": 2, "e_exp": 10, "e_imp3": 4, "e_exp3": 3, "e_imp_t2": 6,
        "e_exp_t2": 5, "eq_imp": 8, "eq_exp": 1, "eq_q1": 3, "eq_q3": 1,
    }  # fmt: skip
    assert apply_direction(turned, "reversed") == values


LIMIT = WritePoint(
    name="power-limit", label="Limit", function=6, address=1, type="s16", scale=Decimal("0.1"),
    minimum=Decimal(-10), maximum=Decimal(100), unit="%",
)  # fmt: skip


@pytest.mark.parametrize(("value", "register"), [(0, 0), (55.5, 555), (100, 1000), (-10, 0xFF9C), (0.1, 1)])
def test_written_value_reads_back(value: float, register: int) -> None:
    assert encode(LIMIT, value) == [register]
    assert read_back(LIMIT, [register]) == value


@pytest.mark.parametrize("value", [100.1, -10.5, float("nan"), float("inf")])
def test_value_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(RefusedError) as caught:
        encode(LIMIT, value)
    assert (caught.value.code, caught.value.field) == ("out-of-range", "value")


def test_code_between_two_is_refused_and_a_quantity_rounded() -> None:
    mode = LIMIT.model_copy(update={"unit": "", "scale": Decimal(1)})
    with pytest.raises(RefusedError, match=r"must be in steps of 1, not 0\.5"):
        encode(mode, 0.5)
    assert encode(mode, 2) == [2]
    assert encode(LIMIT, 55.53) == [555]


def test_value_that_does_not_fit_its_register_is_refused() -> None:
    wide = LIMIT.model_copy(update={"maximum": Decimal(10_000)})
    with pytest.raises(RefusedError, match="does not fit a s16 register"):
        encode(wide, 5000)


@given(
    value=st.integers(-(2**31), 2**31 - 1),
    order=st.sampled_from(["big", "word-swapped", "byte-swapped", "little"]),
)
def test_long_value_survives_write_and_read(value: int, order: Any) -> None:
    point = WritePoint(
        name="set", label="Set", function=16, address=0, type="s32", order=order,
        minimum=Decimal(-(2**31)), maximum=Decimal(2**31),
    )  # fmt: skip
    registers = encode(point, value)
    assert read_back(point, registers) == value
    assert value_of(registers, type="s32", order=order) == value


def test_float_and_coil_writes() -> None:
    coil = WritePoint(
        name="on", label="On", function=5, address=0, type="bool", minimum=Decimal(0), maximum=Decimal(1)
    )
    assert (encode(coil, 1), coil.read_function) == ([1], 1)
    real = WritePoint(
        name="set", label="Set", function=16, address=0, type="f32", minimum=Decimal(0), maximum=Decimal(500)
    )
    assert encode(real, 230.1) == [0x4366, 0x199A]
    assert read_back(real, [0x4366, 0x199A]) == 230.1


@pytest.mark.parametrize(
    ("type_", "value", "registers"),
    [
        ("u64", 2.0**33 + 5, [0, 2, 0, 5]),
        ("s64", -2.0, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE]),
        ("f64", -2.5, [0xC004, 0, 0, 0]),
    ],
    ids=["u64", "s64", "f64"],
)
def test_64_bit_values_are_written_and_read_back(type_: Any, value: float, registers: list[int]) -> None:
    """f64: -2.5 is 0xC004000000000000 in IEEE 754 binary64."""
    point = WritePoint(
        name="x", label="x", function=16, address=0, type=type_, minimum=-(10**18), maximum=10**18
    )
    assert encode(point, value) == registers
    assert read_back(point, registers) == value


def test_float_that_does_not_fit_is_refused_and_one_that_is_none_is_told() -> None:
    point = WritePoint(
        name="x", label="x", function=16, address=0, type="f32", minimum=0, maximum=Decimal("1e300")
    )
    with pytest.raises(RefusedError, match="does not fit a f32"):
        encode(point, 1e200)
    with pytest.raises(RefusedError, match="holds no number"):
        read_back(point, [0x7FC0, 0])


def test_coil_may_be_written_with_function_15_too() -> None:
    coil = WritePoint(name="x", label="x", function=15, address=3, type="bool", minimum=0, maximum=1)
    assert (encode(coil, 1), coil.read_function) == ([1], 1)
    with pytest.raises(ValueError, match="functions 5 and 15"):
        WritePoint(name="x", label="x", function=15, address=3, type="u16", minimum=0, maximum=1)
