"""Numbers and texts as registers, and a profile's reading of them: written apart from bus-reader's own codec.

Every choice of a register pattern comes with the value that it means, as a fraction, so that nothing is rounded here.
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from ccm_bus_reader.point import Order, Point
from ccm_contracts.metrics import METRICS

Meaning = Fraction | str | None
"""None: the registers say that there is no value."""

WIDTH = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4, "f64": 4}
LARGEST = {"f32": 3.4028234663852886e38, "f64": 1.7976931348623157e308}
FACTORS = (-10, 10, -0x8000, 0, -3, 11, -1, 2, -11, 1)
"""Scale factors: SunSpec's range is -10 to 10, and 0x8000 is "not implemented"."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one raw number or text lies."""

    function: int
    address: int
    type: str
    order: Order
    length: int
    high: int | None = None
    """Where the high word lies, if not beside the low one."""
    is_wide: bool = False
    """Whether a register holds one character."""

    @property
    def places(self) -> list[int]:
        """The address of each register, in the order in which `laid_out` gives them."""
        if self.high is None:
            return [self.address + n for n in range(self.length)]
        is_low_first = self.order in ("word-swapped", "little")
        return [self.address, self.high] if is_low_first else [self.high, self.address]


def slot_of(point: Point, address: int) -> Slot:
    length = point.length or WIDTH[point.type]
    return Slot(point.function, address, point.type, point.order, length, point.high, point.wide)


def factor_slot(point: Point) -> Slot | None:
    at = point.scale_register
    return None if at is None else Slot(point.function, at, "s16", "big", 1)


def sign_slot(point: Point) -> Slot | None:
    at = point.sign_register
    return None if at is None else Slot(point.function, at, "u16", "big", 1)


def laid_out(bits: int, slot: Slot) -> list[int]:
    """The bits as the slot's registers, in the order in which the device sends them."""
    raw = bits.to_bytes(2 * slot.length, "big")
    if slot.is_wide:
        characters = raw.rstrip(b"\0")[: slot.length].ljust(slot.length, b"\0")
        return [each << 8 if slot.order in ("byte-swapped", "little") else each for each in characters]
    if slot.type == "string":
        swaps_bytes, swaps_words = slot.order in ("byte-swapped", "little"), False
    else:
        swaps_bytes, swaps_words = (
            slot.order in ("byte-swapped", "little"),
            slot.order in ("word-swapped", "little"),
        )
    words = list(struct.unpack(f"{'<' if swaps_bytes else '>'}{slot.length}H", raw))
    return words[::-1] if swaps_words else words


def float_bits(number: float, kind: str) -> int:
    return int.from_bytes(struct.pack(">f" if kind == "f32" else ">d", number), "big")


def choices(slot: Slot, points: list[Point], index: int) -> list[int]:
    """Bit patterns that the slot holds one after the other: ordinary, both ends, zero, every mark of its points."""
    bits = 16 * slot.length
    if slot.type == "string":
        width = slot.length // 2 if slot.is_wide else slot.length
        return [text_bits(text[: 2 * width], slot.length) for text in texts(width, index)]
    marks = [mark for point in points for mark in point.invalid]
    if slot.type in LARGEST:
        most = LARGEST[slot.type]
        numbers = (230.1 + index, 0.0, -1234.5, most, -most, math.nan, math.inf, -math.inf, -0.0, 1e-30)
        return [float_bits(number, slot.type) for number in numbers] + marks
    top = 1 << (bits - 1)
    known = [number for point in points for number in [*point.values, *(1 << n for n in point.bits)]]
    ordinary = (1000 + 37 * index) % (top - 1)
    return [ordinary, 0, top - 1, top, 2 * top - 1, 1, 2 * top - 1 - ordinary, top + 1, *marks, *known[:6]]


def texts(length: int, index: int) -> list[bytes]:
    return [
        b"SN%d" % index,
        b"",
        (b"ABCDEFGHIJ" * 26)[: 2 * length],
        b"\0X",
        b" A\xff\x01B",
        b"%d\0old" % (index % 10),
    ]


def text_bits(text: bytes, length: int) -> int:
    return int.from_bytes(text[: 2 * length].ljust(2 * length, b"\0"), "big")


def number_in(bits: int, kind: str) -> Fraction | None:
    """The raw number; None for a float that is none."""
    if kind in LARGEST:
        number = struct.unpack(">f" if kind == "f32" else ">d", bits.to_bytes(2 * WIDTH[kind], "big"))[0]
        return Fraction(number) if math.isfinite(number) else None
    size = 16 * WIDTH[kind]
    return Fraction(bits - (1 << size) if kind[0] == "s" and bits >> (size - 1) else bits)


def text_in(bits: int, length: int) -> str | None:
    raw = bits.to_bytes(2 * length, "big")
    seen = ""
    for byte in raw:
        if byte == 0:
            break
        seen += chr(byte) if 0x20 <= byte < 0x7F else ""
    return seen.strip(" ") or None


def meaning(point: Point, held: dict[Slot, int]) -> Meaning:
    """What the point's registers mean; `held` are the bits of each slot."""
    bits = held[slot_of(point, point.address)]
    if point.type == "string":
        return text_in(bits, point.length or 0)
    if METRICS[point.metric].kind == "text":
        others = [held[slot_of(point, at)] for at in point.plus]
        if all(each in point.invalid for each in (bits, *others)):
            return None
        size = 16 * WIDTH[point.type]
        shown = [0 if each in point.invalid else under(point.mask, each) for each in (bits, *others)]
        return named(point, sum(each << n * size for n, each in enumerate(shown)))
    added = [held[slot_of(point, at)] for at in (point.address, *point.plus)]
    taken = [] if point.less is None else [held[slot_of(point, point.less)]]
    parts = [(number_of(point, each), each) for each in (*added, *taken)]
    if any(number is None or each in point.invalid for number, each in parts):
        return None
    numbers = [number or Fraction(0) for number, _ in parts]
    total = sum(numbers[: len(added)], Fraction(0)) - sum(numbers[len(added) :], Fraction(0))
    sign = sign_slot(point)
    if sign is not None:
        total = abs(total) * (-1 if held[sign] == point.negative else 1)
    factor = factor_slot(point)
    exponent = 0 if factor is None else int(number_in(held[factor], "s16") or 0)
    if not -10 <= exponent <= 10:
        return None
    value = total * Fraction(point.scale) * Fraction(10) ** exponent + Fraction(point.offset)
    value = abs(value) if point.absolute else value
    is_negative_energy = METRICS[point.metric].kind == "counter" and value < 0
    return None if is_negative_energy or abs(value) > LARGEST["f64"] else value


def under(mask: int | None, bits: int) -> int:
    """The bits under the mask; it has no gaps."""
    if mask is None:
        return bits
    digits = f"{mask:b}"
    lowest = len(digits) - len(digits.rstrip("0"))
    return (bits & mask) >> lowest


def number_of(point: Point, bits: int) -> Fraction | None:
    return number_in(bits, point.type) if point.mask is None else Fraction(under(point.mask, bits))


def named(point: Point, bits: int) -> str:
    if point.values:
        return point.values.get(bits, f"{bits}")
    if point.bits:
        names = [point.bits.get(n, f"bit {n}") for n in range(bits.bit_length()) if bits & (1 << n)]
        return ", ".join(names)
    if point.text == "hex":
        return bits.to_bytes(2 * WIDTH[point.type], "big").hex().upper()
    return f"{bits // 256}.{bits % 256}" if point.text == "dotted" else f"{bits}"
