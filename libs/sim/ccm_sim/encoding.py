"""Values to registers: rows of a register map, and the image that a device answers from.

Big-endian words, high word first, one int per 16 bits. Does not know which device it encodes for.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Type = Literal["u16", "s16", "u32", "s32", "f32", "str", "na"]
Value = float | int | str | None

_BITS: Mapping[str, int] = {"u16": 16, "s16": 16, "u32": 32, "s32": 32}
_HIGHEST: Mapping[str, int] = {"u16": 0xFFFE, "s16": 0x7FFE, "u32": 0xFFFFFFFE, "s32": 0x7FFFFFFE}
_LOWEST: Mapping[str, int] = {"u16": 0, "s16": -0x7FFF, "u32": 0, "s32": -0x7FFFFFFF}

_WH_PER_KWH = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a register map.

    A gauge is stored as `value * scale`. A counter (`step_wh` > 0) is given in Wh, stored in whole steps and wraps.
    `words` is the length of a "str", or the number of registers of an "na": registers that the real device answers
    with its "not available" mark.
    """

    address: int
    type: Type
    name: str = ""
    scale: int = 1
    step_wh: int = 0
    words: int = 1

    @property
    def length(self) -> int:
        """Registers that the row takes."""
        return 2 if self.type in ("u32", "s32", "f32") else self.words


@dataclass(frozen=True)
class RegisterMap:
    """All registers of a model. Addresses outside `holding` (function 3) and `inputs` (function 4) do not exist.

    `marks` are the bit patterns of "not available" by type; `max_read` is the longest request that is answered.
    """

    model: str
    source: str
    marks: Mapping[str, int]
    holding: tuple[Row, ...]
    inputs: tuple[Row, ...] = ()
    writes: frozenset[int] = frozenset()
    max_read: int = 125

    @cached_property
    def functions(self) -> frozenset[int]:
        """The function codes that the model knows."""
        return frozenset({3}) | self.writes | (frozenset({4}) if self.inputs else frozenset())

    def rows(self, function: int) -> tuple[Row, ...]:
        """The rows that a read function reaches."""
        return self.inputs if function == 4 else self.holding


def registers(row: Row, value: Value, marks: Mapping[str, int]) -> list[int]:
    """The row's registers for a value; None gives the "not available" mark of its type."""
    if row.type == "na":
        return [marks["na"]] * row.words
    if row.type == "str":
        text = str(value or "").encode("ascii")[: 2 * row.words].ljust(2 * row.words, b"\0")
        return list(struct.unpack(f">{row.words}H", text))
    if row.type == "f32":
        bits = marks["f32"] if value is None else _float_bits(row, value)
        return [bits >> 16, bits & 0xFFFF]
    bits = marks[row.type] if value is None else raw(row, value) & ((1 << _BITS[row.type]) - 1)
    return [bits] if _BITS[row.type] == 16 else [bits >> 16, bits & 0xFFFF]


def raw(row: Row, value: Value) -> int:
    """The integer that is stored: steps of a counter (wrapped), or the scaled gauge (held within the type)."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"register {row.address} ({row.name}): {value!r} is not a number")
    if row.step_wh:
        return int(value) // row.step_wh % (1 << _BITS[row.type])
    return min(max(round(value * row.scale), _LOWEST[row.type]), _HIGHEST[row.type])


def seen(row: Row, value: Value) -> Value:
    """The value as a reader finds it: with the resolution, wrap and limits of the register; energies in kWh."""
    if value is None or row.type == "str":
        return value
    if row.type == "f32":
        bits = _float_bits(row, value)
        return float(struct.unpack(">f", bits.to_bytes(4, "big"))[0])
    stored = raw(row, value)
    if row.step_wh:
        return stored * row.step_wh / _WH_PER_KWH
    return stored / row.scale if row.scale != 1 else stored


def image(rows: tuple[Row, ...], values: Mapping[str, Value], marks: Mapping[str, int]) -> dict[int, int]:
    """Address to register for all rows; a value that is missing is "not available"."""
    out: dict[int, int] = {}
    for row in rows:
        out.update(enumerate(registers(row, values.get(row.name), marks), row.address))
    return out


def _float_bits(row: Row, value: Value) -> int:
    if not isinstance(value, (int, float)):
        raise TypeError(f"register {row.address} ({row.name}): {value!r} is not a number")
    number = int(value) // row.step_wh * row.step_wh / _WH_PER_KWH if row.step_wh else value * row.scale
    return int.from_bytes(struct.pack(">f", number), "big")
