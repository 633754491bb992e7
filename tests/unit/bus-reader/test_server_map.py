"""The gateway's own registers and the memory of polled ones."""

import struct
from pathlib import Path

import pytest

from ccm_bus_reader.server.cache import Registers
from ccm_bus_reader.server.image import Picture, Shown, registers

PICTURE = Picture(
    serial="CCM000123",
    unix_s=0x6925_0000,
    outputs={"relay-1": 1.0, "analog-1": 2.5},
    plants=[Shown("home", {"p_prod": 2000, "p_grid": -1500.5, "p_load": None}, 0.4, "good")],
    devices=[
        Shown("grid", {"v1": 230.25, "p": -500, "e_imp": 12345.678, "e_exp": 0.001}, 2.6, "good"),
        Shown("roof", {"v1": 231.5, "e_imp": 1.0}, 700.0, "stale"),
        Shown("new"),
    ],
)


def words(address: int, count: int) -> tuple[int, ...]:
    found = registers(PICTURE, address, count)
    assert found is not None
    return found


def f32(address: int) -> float:
    return float(struct.unpack(">f", struct.pack(">HH", *words(address, 2)))[0])


def s64(address: int) -> int:
    return int(struct.unpack(">q", struct.pack(">HHHH", *words(address, 4)))[0])


def test_the_head_says_who_it_is_and_how_the_outputs_stand() -> None:
    assert words(0, 3) == (1, 3, 1)
    assert struct.pack(">16H", *words(4, 16)).rstrip(b"\0") == b"CCM000123"
    assert words(20, 2) == (0x6925, 0)
    assert words(100, 3) == (1, 0xFFFF, 2500)


def test_a_plants_flows_are_floats_and_the_unknown_one_is_nan() -> None:
    assert words(1000, 2) == (0, 0)
    assert (f32(1002), f32(1004)) == (2000.0, -1500.5)
    assert f32(1006) != f32(1006)


def test_a_device_shows_gauges_and_exact_counters() -> None:
    assert words(2000, 2) == (0, 3)
    assert f32(2004) == 230.25
    assert f32(2004 + 2 * 13) == -500
    assert (s64(2100), s64(2104)) == (12_345_678, 1)
    assert struct.pack(">20H", *words(2160, 20)).rstrip(b"\0") == b"grid"


def test_a_stale_device_shows_its_age_and_no_number() -> None:
    assert words(2200, 2) == (1, 700)
    assert f32(2204) != f32(2204)
    assert s64(2300) == -(2**63)


def test_a_device_that_was_never_read_is_unknown() -> None:
    assert words(2400, 2) == (0xFFFF, 0xFFFF)


@pytest.mark.parametrize(("address", "count"), [(500, 1), (108, 5), (1050, 1), (2600, 1), (65535, 1)])
def test_beyond_the_map_is_nothing(address: int, count: int) -> None:
    assert registers(PICTURE, address, count) is None


def test_a_read_may_span_two_devices() -> None:
    assert words(2199, 3)[1:] == (1, 700)


def test_the_published_map_is_the_codes() -> None:
    """`make docs` writes it."""
    text = Path("docs/modbus-server.md").read_text()
    assert "| 4 | 2 | f32 | V | `v1` Voltage L1 |" in text
    assert "| 100 | 4 | s64 | Wh | `e_imp` Energy imported |" in text


def test_registers_are_fresh_for_their_age_or_for_their_own_interval() -> None:
    kept = Registers(max_age_s=10)
    kept.put(1, 3, 100, (5, 6), at=0.0)
    kept.put(1, 3, 100, (7, 8), at=60.0)
    assert kept.find(1, 3, 100, 2, 65.0) == (7, 8)
    assert kept.find(1, 3, 100, 2, 209.0) == (7, 8)
    assert kept.find(1, 3, 100, 2, 211.0) == "stale"


def test_registers_that_nobody_polls_are_unknown() -> None:
    kept = Registers(max_age_s=10)
    kept.put(1, 3, 100, (5,), at=0.0)
    assert kept.find(1, 3, 100, 2, 1.0) == "unknown"
    assert kept.find(2, 3, 100, 1, 1.0) == "unknown"
    assert kept.find(1, 4, 100, 1, 1.0) == "unknown"
    assert kept.find(1, 3, 100, 1, 11.0) == "unknown"


def test_what_was_written_is_forgotten() -> None:
    kept = Registers(max_age_s=10)
    kept.put(1, 3, 100, (5, 6, 7), at=0.0)
    kept.forget(1, 101, 1)
    assert kept.find(1, 3, 100, 1, 1.0) == (5,)
    assert kept.find(1, 3, 101, 1, 1.0) == "unknown"
