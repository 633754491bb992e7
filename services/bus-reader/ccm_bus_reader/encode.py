"""Engineering values to registers, for writable points. Pure; refuses what the device must not get."""

import math
import struct
from decimal import ROUND_HALF_EVEN, Decimal

from ccm_bus_reader.decode import join_words, plain
from ccm_bus_reader.point import Order, WritePoint
from ccm_kit.errors import RefusedError

_BITS = {"bool": 1, "u16": 16, "s16": 16, "u32": 32, "s32": 32, "u64": 64, "s64": 64}
_SIGNED = ("s16", "s32", "s64")
_FLOATS = {"f32": ">f", "f64": ">d"}


def encode(point: WritePoint, value: float) -> list[int]:
    """The registers (for function 5: one 0 or 1) that hold `value`.

    A quantity is rounded to the device's resolution. Raises `RefusedError` with code `out-of-range` and field `value`
    when it is no number, outside the point's range, no step of a point without a unit, or does not fit its type.
    """
    if not math.isfinite(value):
        raise _refusal(point, "is not a number")
    exact = Decimal(str(value))
    if not point.minimum <= exact <= point.maximum:
        unit = f" {point.unit}" if point.unit else ""
        raise _refusal(point, f"must be {point.minimum} to {point.maximum}{unit}, not {value:g}")
    raw = exact / point.scale
    if point.type in _FLOATS:
        bits = int.from_bytes(_packed(point, float(raw)), "big")
        return _words(bits, point.registers, point.order)
    steps = int(raw.to_integral_value(ROUND_HALF_EVEN))
    if (
        steps != raw and not point.unit
    ):  # a quantity is rounded to what the device can hold, a code is another one
        raise _refusal(point, f"must be in steps of {point.scale}, not {value:g}")
    width, signed = _BITS[point.type], point.type in _SIGNED
    lowest, highest = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if not lowest <= steps <= highest:
        raise _refusal(point, f"{value:g} does not fit a {point.type} register")
    return _words(steps & ((1 << width) - 1), point.registers, point.order)


def read_back(point: WritePoint, registers: list[int]) -> float:
    """The engineering value that the device holds now, from the registers read at the point's address."""
    bits = join_words(registers[: point.registers], point.order)
    if point.type in _FLOATS:
        held: float = struct.unpack(_FLOATS[point.type], bits.to_bytes(2 * point.registers, "big"))[0]
        if not math.isfinite(held):
            raise RefusedError(f"{point.name}: the device holds no number", code="not-taken", field="value")
        return round(held * float(point.scale), 3)
    width = _BITS[point.type]
    if point.type in _SIGNED and bits >> (width - 1):
        bits -= 1 << width
    return float(plain(bits * point.scale))


def _packed(point: WritePoint, value: float) -> bytes:
    try:
        return struct.pack(_FLOATS[point.type], value)
    except OverflowError:
        raise _refusal(point, f"{value:g} does not fit a {point.type} register") from None


def _words(bits: int, count: int, order: Order) -> list[int]:
    words = [bits >> (16 * n) & 0xFFFF for n in reversed(range(count))]
    if order in ("byte-swapped", "little"):
        words = [(word & 0xFF) << 8 | word >> 8 for word in words]
    return words[::-1] if order in ("word-swapped", "little") else words


def _refusal(point: WritePoint, message: str) -> RefusedError:
    return RefusedError(f"{point.name}: {message}", code="out-of-range", field="value")
