"""The gateway's own registers: devices, plants and outputs at fixed addresses. Pure.

The same for functions 3 and 4; addresses as on the wire, from 0; big-endian. Unknown or stale is NaN in a float,
-2**63 in a counter, 0xFFFF in a word. The rows at the end are what `docs/modbus-server.md` publishes.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ccm_contracts.messages import Value
from ccm_contracts.metrics import METRICS

MAP_VERSION: Final = 1
UNKNOWN_WORD: Final = 0xFFFF
UNKNOWN_COUNTER: Final = 0x8000_0000_0000_0000
LONGEST_AGE_S: Final = 65534

SERIAL_AT, SERIAL_WORDS = 4, 16
TIME_AT: Final = 20
OUTPUTS_AT: Final = 100
OUTPUTS: Final = ("relay-1", "relay-2", "analog-1")
HEAD_WORDS: Final = 110

PLANTS_AT, PLANT_WORDS, MOST_PLANTS = 1000, 50, 20
FLOWS_AT: Final = 2
FLOWS: Final = (
    "p_prod",
    "p_grid",
    "p_load",
    "p_self",
    "p_exp",
    "p_imp",
    "p_bat",
    "self_consumption",
    "self_sufficiency",
)

DEVICES_AT, DEVICE_WORDS, MOST_DEVICES = 2000, 200, 247
GAUGES_AT: Final = 4
GAUGES: Final = (
    *("v1", "v2", "v3", "v12", "v23", "v31", "i1", "i2", "i3", "in"),
    *("p1", "p2", "p3", "p", "q1", "q2", "q3", "q", "s1", "s2", "s3", "s"),
    *("pf1", "pf2", "pf3", "pf", "f", "temp", "p_dc", "e_day", "soc", "p_bat", "v_bat", "i_bat"),
)
COUNTERS_AT: Final = 100
COUNTERS: Final = (
    *("e_imp", "e_exp", "e_imp_acc", "e_exp_acc", "eq_imp", "eq_exp", "e_total", "e_total_acc"),
    *("e_imp1", "e_imp2", "e_imp3", "e_exp1", "e_exp2", "e_exp3"),
)
NAME_AT, NAME_WORDS = 160, 20

QUALITIES: Final = {"good": 0, "stale": 1, "bad": 2}


@dataclass(frozen=True, slots=True)
class Shown:
    """One device or plant: `values` by metric; `age_s` None when nothing is known of it."""

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    age_s: float | None = None
    quality: str = "bad"


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that the registers show."""

    serial: str
    unix_s: int
    outputs: Mapping[str, float | None]
    plants: Sequence[Shown]
    devices: Sequence[Shown]


def registers(picture: Picture, address: int, count: int) -> tuple[int, ...] | None:
    """The words from `address` on; None where the map has none."""
    words: list[int] = []
    while len(words) < count:
        part = _part(picture, address + len(words))
        if part is None:
            return None
        words += part[: count - len(words)]
    return tuple(words)


def _part(picture: Picture, address: int) -> list[int] | None:
    """The rest of the block that holds the address."""
    if address < HEAD_WORDS:
        return _head(picture)[address:]
    groups: tuple[tuple[int, int, Sequence[Shown], Callable[[Shown], list[int]]], ...] = (
        (PLANTS_AT, PLANT_WORDS, picture.plants[:MOST_PLANTS], _plant),
        (DEVICES_AT, DEVICE_WORDS, picture.devices[:MOST_DEVICES], _device),
    )
    for start, size, things, words_of in groups:
        index, offset = divmod(address - start, size)
        if 0 <= index < len(things):
            return words_of(things[index])[offset:]
    return None


def _head(picture: Picture) -> list[int]:
    words = [0] * HEAD_WORDS
    words[0:3] = [MAP_VERSION, len(picture.devices), len(picture.plants)]
    words[SERIAL_AT : SERIAL_AT + SERIAL_WORDS] = _text(picture.serial, SERIAL_WORDS)
    words[TIME_AT : TIME_AT + 2] = [picture.unix_s >> 16 & 0xFFFF, picture.unix_s & 0xFFFF]
    for offset, output in enumerate(OUTPUTS):
        value = picture.outputs.get(output)
        scale = 1000 if output == "analog-1" else 1
        words[OUTPUTS_AT + offset] = UNKNOWN_WORD if value is None else round(value * scale)
    return words


def _plant(plant: Shown) -> list[int]:
    words = [0] * PLANT_WORDS
    words[0:2] = _standing(plant)
    for index, flow in enumerate(FLOWS):
        words[FLOWS_AT + 2 * index : FLOWS_AT + 2 * index + 2] = _float(_current(plant, flow))
    return words


def _device(device: Shown) -> list[int]:
    words = [0] * DEVICE_WORDS
    words[0:2] = _standing(device)
    for index, metric in enumerate(GAUGES):
        words[GAUGES_AT + 2 * index : GAUGES_AT + 2 * index + 2] = _float(_current(device, metric))
    for index, metric in enumerate(COUNTERS):
        words[COUNTERS_AT + 4 * index : COUNTERS_AT + 4 * index + 4] = _counter(_current(device, metric))
    words[NAME_AT : NAME_AT + NAME_WORDS] = _text(device.name, NAME_WORDS)
    return words


def _standing(thing: Shown) -> list[int]:
    if thing.age_s is None:
        return [UNKNOWN_WORD, UNKNOWN_WORD]
    return [QUALITIES[thing.quality], min(LONGEST_AGE_S, round(thing.age_s))]


def _current(thing: Shown, metric: str) -> float | None:
    """The value, where it may be shown: an old number would be taken for the present one."""
    value = thing.values.get(metric) if thing.quality == "good" else None
    return value if isinstance(value, (int, float)) else None


def _float(value: float | None) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", float("nan") if value is None else value)))


def _counter(kwh: float | None) -> list[int]:
    bits = UNKNOWN_COUNTER if kwh is None else round(kwh * 1000) & 0xFFFF_FFFF_FFFF_FFFF
    return [bits >> shift & 0xFFFF for shift in (48, 32, 16, 0)]


def _text(text: str, words: int) -> list[int]:
    data = text.encode("ascii", "replace")[: 2 * words].ljust(2 * words, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * words, 2)]


Row = tuple[int, int, str, str, str]
"""Address within its block, words, type, unit, what."""


def device_rows() -> list[Row]:
    """A device's block, for the published map."""
    rows: list[Row] = [(0, 1, "u16", "", "quality: 0 good, 1 stale, 2 bad"), (1, 1, "u16", "s", "age")]
    for index, metric in enumerate(GAUGES):
        known = METRICS[metric]
        rows.append((GAUGES_AT + 2 * index, 2, "f32", known.unit, f"`{metric}` {known.label}"))
    for index, metric in enumerate(COUNTERS):
        known = METRICS[metric]
        unit = {"kWh": "Wh", "kvarh": "varh"}[known.unit]
        rows.append((COUNTERS_AT + 4 * index, 4, "s64", unit, f"`{metric}` {known.label}"))
    return [*rows, (NAME_AT, NAME_WORDS, "string", "", "the device's id")]


def plant_rows() -> list[Row]:
    """A plant's block, for the published map."""
    rows: list[Row] = [(0, 1, "u16", "", "quality: 0 good, 1 stale, 2 bad"), (1, 1, "u16", "s", "age")]
    for index, flow in enumerate(FLOWS):
        unit = "" if flow.startswith("self_") else "W"
        rows.append((FLOWS_AT + 2 * index, 2, "f32", unit, f"`{flow}`"))
    return rows


def head_rows() -> list[Row]:
    """The gateway's block, for the published map."""
    return [
        (0, 1, "u16", "", "version of this map: 1"),
        (1, 1, "u16", "", "number of devices"),
        (2, 1, "u16", "", "number of plants"),
        (SERIAL_AT, SERIAL_WORDS, "string", "", "serial number of the gateway"),
        (TIME_AT, 2, "u32", "s", "time, UTC, since 1970"),
        (OUTPUTS_AT, 1, "u16", "", "relay 1: 0 or 1 (also coil 0)"),
        (OUTPUTS_AT + 1, 1, "u16", "", "relay 2: 0 or 1 (also coil 1)"),
        (OUTPUTS_AT + 2, 1, "u16", "mV", "0-10 V output"),
    ]
