"""Registers to engineering values in the vocabulary's units. Pure; `encode.py` goes the other way."""

import math
import struct
import sys
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final
from weakref import WeakValueDictionary

from ccm_bus_reader.plan import Block
from ccm_bus_reader.point import Order, Point, resolution_of
from ccm_bus_reader.swift import EXACT_INT, FACTORS, Reader, reader_of
from ccm_contracts.messages import Value
from ccm_contracts.metrics import ACCUMULATED, METRICS
from ccm_contracts.types import Direction

SCALE_FACTOR_MISSING = 0x8000
"""SunSpec's "not implemented" of a scale factor."""
DIGITS = 26
"""Digits that rounding keeps, below the 28 of the decimal context."""
LARGEST = Decimal(sys.float_info.max)

_SIGNED_BITS = {"s16": 16, "s32": 32, "s64": 64}
_FLOATS = {"f32": ">f", "f64": ">d"}


Decoder = Callable[[Sequence[int]], dict[str, Value]]
"""The value of each point of a block, by metric, from its reply; None where the device has none.

The reply is 16-bit words from the block's address on, or 0/1 for coils and discrete inputs. Raises `ValueError` when it
is shorter than the block.
"""
_DECODERS: Final[WeakValueDictionary[Block, Decoder]] = WeakValueDictionary()
"""Those in use, one for all devices of a model: what no plan holds any more is forgotten."""


def decode(block: Block, registers: Sequence[int]) -> dict[str, Value]:
    """The block's values, once; what is read again and again is decoded by its `decoder_of`."""
    return decoder_of(block)(registers)


def decoder_of(block: Block) -> Decoder:
    """What can be known before a reply comes is found out here, once for all devices of a model."""
    decoder = _DECODERS.get(block)
    if decoder is None:
        decoder = _DECODERS[block] = _decoder(block)
    return decoder


def _decoder(block: Block) -> Decoder:
    count, readers = block.count, [(point.metric, _reader_in(block, point)) for point in block.points]

    def decode_reply(registers: Sequence[int]) -> dict[str, Value]:
        if len(registers) < count:
            raise ValueError(f"reply has {len(registers)} of {count} registers")
        return {metric: read(registers) for metric, read in readers}

    return decode_reply


def _reader_in(block: Block, point: Point) -> Reader:
    at = point.address - block.address
    return reader_of(point, at, lambda words: by_decimals(point, words, at))


def by_decimals(point: Point, registers: Sequence[int], at: int) -> Value:
    """The point's value, its first register being `registers[at]`; what `swift.py` does faster where it can."""
    base = point.address - at
    words = _words_of(point, registers, base)
    if point.type == "string":
        return text_of(words, point.order, is_wide=point.wide)
    if METRICS[point.metric].kind == "text":
        parts = [words, *(registers[each - base : each + point.registers - base] for each in point.plus)]
        return _text_in(point, [join_words(part, point.order) for part in parts])
    exact = _exact(point, words)
    for other in point.plus:
        added = _exact(point, registers[other - base : other + point.registers - base])
        exact = None if exact is None or added is None else exact + added
    if exact is not None and point.less is not None:
        taken = _exact(point, registers[point.less - base : point.less + point.registers - base])
        exact = None if taken is None else exact - taken
    if exact is not None and point.sign_register is not None:
        is_negative = registers[point.sign_register - base] == point.negative
        exact = -abs(exact) if is_negative else abs(exact)
    factor = 0
    if point.scale_register is not None:
        factor = _signed(registers[point.scale_register - base], 16)
    if exact is None or factor not in FACTORS:
        return None
    return _number(point, exact, factor)


def _words_of(point: Point, registers: Sequence[int], base: int) -> Sequence[int]:
    if point.high is None:
        return registers[point.address - base : point.end - base]
    low, high = registers[point.address - base], registers[point.high - base]
    return (low, high) if point.order in ("word-swapped", "little") else (high, low)


def join_words(words: Sequence[int], order: Order) -> int:
    """The words as one unsigned number, most significant first after undoing the order."""
    if order in ("word-swapped", "little"):
        words = words[::-1]
    number = 0
    for word in words:
        if order in ("byte-swapped", "little"):
            word = (word & 0xFF) << 8 | word >> 8
        number = number << 16 | word
    return number


def text_of(words: Sequence[int], order: Order, *, is_wide: bool = False) -> str | None:
    """ASCII, two characters a register (`is_wide`: one), up to the first NUL; None when nothing is left."""
    swap = order in ("byte-swapped", "little")
    if is_wide:
        raw = bytes((word >> 8 if swap else word) & 0xFF for word in words)
    else:
        raw = b"".join(struct.pack("<H" if swap else ">H", word) for word in words)
    text = raw.split(b"\0", 1)[0].decode("ascii", errors="ignore")
    return "".join(c for c in text if c.isprintable()).strip() or None


def _text_in(point: Point, parts: Sequence[int]) -> str | None:
    """The text of a number, or of bits in several; a part that is not available has none of its bits."""
    known = [(n, _masked(point, bits)) for n, bits in enumerate(parts) if bits not in point.invalid]
    if not known:
        return None
    if not point.bits:
        return _text(point, known[0][1])
    width = 16 * point.registers
    numbers = [n * width + bit for n, bits in known for bit in range(width) if bits >> bit & 1]
    return ", ".join(point.bits.get(number, f"bit {number}") for number in numbers)


def _text(point: Point, bits: int) -> str:
    if point.values:
        return point.values.get(bits, str(bits))
    if point.text == "hex":
        return f"{bits:0{4 * point.registers}X}"
    if point.text == "dotted":
        return f"{bits >> 8}.{bits & 0xFF}"
    return str(bits)


def _masked(point: Point, bits: int) -> int:
    """The bits under the mask, its lowest one first."""
    if point.mask is None:
        return bits
    return (bits & point.mask) // (point.mask & -point.mask)


def _signed(bits: int, width: int) -> int:
    return bits - (1 << width) if bits >> (width - 1) else bits


def _exact(point: Point, words: Sequence[int]) -> Decimal | None:
    """The raw number; None where the device has none."""
    bits = join_words(words, point.order)
    if bits in point.invalid:
        return None
    if point.mask is not None:
        return Decimal(_masked(point, bits))
    if point.type not in _FLOATS:
        width = _SIGNED_BITS.get(point.type)
        return Decimal(_signed(bits, width) if width else bits)
    number = struct.unpack(_FLOATS[point.type], bits.to_bytes(2 * point.registers, "big"))[0]
    return Decimal(number) if math.isfinite(number) else None


def _number(point: Point, exact: Decimal, factor: int) -> Value:
    scaled = exact * point.scale + point.offset if not factor else _scaled(point, exact, factor)
    if point.absolute:
        scaled = abs(scaled)
    if abs(scaled) > LARGEST or (scaled < 0 and METRICS[point.metric].kind == "counter"):
        return None  # no energy is negative: the counter is not one, or went over the end of a signed type
    step = resolution_of(point)
    return plain(scaled if step is None else _rounded(scaled, step))


def _scaled(point: Point, exact: Decimal, factor: int) -> Decimal:
    return (exact * point.scale).scaleb(factor) + point.offset


@lru_cache(maxsize=256)
def _power_of_ten(step: Decimal) -> Decimal | None:
    """The step as 1E-n, or None for a step such as 0.5."""
    normal = step.normalize()
    return normal if normal.as_tuple().digits == (1,) else None


def _rounded(number: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of `step`; a number too large for the step to matter stays."""
    if number.adjusted() - step.adjusted() >= DIGITS:
        return number
    power = _power_of_ten(step)
    if power is not None:
        return number.quantize(power, ROUND_HALF_EVEN)
    return (number / step).to_integral_value(ROUND_HALF_EVEN) * step


def plain(number: Decimal) -> int | float:
    """An int where there is nothing after the point, else the nearest float, which prints without artefacts."""
    if number == number.to_integral_value() and abs(number) < EXACT_INT:
        return int(number)
    return float(number)


_PHASES = ("", "1", "2", "3")
_NEGATED = frozenset(base + phase for base in ("p", "q", "pf") for phase in _PHASES)
_SWAPS = (
    *((f"e_imp{tail}", f"e_exp{tail}") for tail in (*_PHASES, *(f"_t{tariff}" for tariff in range(1, 7)))),
    *((f"eq_imp{phase}", f"eq_exp{phase}") for phase in _PHASES),
    ("eq_q1", "eq_q3"),
    ("eq_q2", "eq_q4"),
)
_BOTH = (*_SWAPS, *((ACCUMULATED[one], ACCUMULATED[other]) for one, other in _SWAPS if one in ACCUMULATED))
_REVERSED = dict(_BOTH) | {exported: imported for imported, exported in _BOTH}


def apply_direction(values: dict[str, Value], direction: Direction) -> dict[str, Value]:
    """The values as the vocabulary's signs want them for a meter that is mounted the other way round.

    Active and reactive powers and power factors change sign; imported and exported energies, and opposite
    quadrants, change places. Voltages, currents, apparent power and what the DC side says stay.
    """
    if direction == "normal":
        return values
    return {_REVERSED.get(metric, metric): _turned(metric, value) for metric, value in values.items()}


def _turned(metric: str, value: Value) -> Value:
    if metric in _NEGATED and isinstance(value, (int, float)):
        return -value if value else value
    return value
