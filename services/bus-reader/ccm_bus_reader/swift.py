"""Registers to engineering values without decimals, for the points where that gives the same to the last bit.

Pure. `decode.py` says what a value is; here the common points are made ready once, so that a reading costs little. Most
are a whole number times a decimal fraction: one whole number over a power of ten, which Python divides with correct
rounding. Floats are rounded to a whole number of steps, and left to the decimals where that is a close thing.
"""

import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from ccm_bus_reader.point import Point, resolution_of
from ccm_contracts.messages import Value
from ccm_contracts.metrics import METRICS

Reader = Callable[[Sequence[int]], Value]
"""The value of a point, from the words of its block."""
Bits = Callable[[Sequence[int]], int]
Number = Callable[[Sequence[int]], int | None]

EXACT_INT: Final = 2**53
"""Whole numbers below this are the same in every JSON reader."""
MOST: Final = 10**26
"""Below this no decimal of 28 digits is rounded."""
FACTORS: Final = range(-10, 11)
"""Scale factors that SunSpec allows; anything else makes the value unknown."""
MOST_STEPS: Final = 2.0**40
"""A float of fewer steps is off by less than 0.001 of a step after its multiplication."""
CLEAR: Final = 0.499
"""So far from the nearest step, or closer, a float is not on the border to the next."""
MOST_PLACES: Final = 22
"""10^22 is the largest power of ten that is a float."""
_WHOLE: Final = ("u16", "u32", "u64", "s16", "s32", "s64")
_FLOATS: Final = {"f32": ">f", "f64": ">d"}


def reader_of(point: Point, at: int, otherwise: Reader) -> Reader:
    """Of one point, whose first word is `words[at]`; `otherwise` is the same by decimals."""
    is_joined = bool(point.plus) or point.less is not None or point.sign_register is not None
    is_joined = is_joined or point.high is not None or point.mask is not None
    if is_joined or point.order not in ("big", "word-swapped") or METRICS[point.metric].kind == "text":
        return otherwise
    if point.type in _FLOATS:
        return _float_reader(point, at, otherwise)
    return _whole_reader(point, at, otherwise) if point.type in _WHOLE else otherwise


def _places_of(step: Decimal) -> int | None:
    """n of a step 10^-n; None for others."""
    sign, digits, exponent = step.normalize().as_tuple()
    return -exponent if digits == (1,) and not sign and isinstance(exponent, int) else None


def _bits_reader(point: Point, at: int) -> Bits:
    """The value's words as one number."""
    places = range(at, at + point.registers)
    first, *others = places if point.order == "big" else places[::-1]
    if not others:
        return lambda words: words[first]
    if len(others) == 1:
        second = others[0]
        return lambda words: words[first] << 16 | words[second]
    second, third, fourth = others
    return lambda words: words[first] << 48 | words[second] << 32 | words[third] << 16 | words[fourth]


def _whole_reader(point: Point, at: int, otherwise: Reader) -> Reader:
    """Value = (number * times + plus) / unit, rounded to `coarse` of these."""
    places = max(0, *(-int(each.as_tuple().exponent) for each in (point.scale, point.offset)))
    unit = 10**places
    times, plus = int(point.scale * unit), int(point.offset * unit)
    span = 1 << 16 * point.registers
    step = resolution_of(point)
    rounded_to = places if step is None or (step == abs(point.scale) and not plus) else _places_of(step)
    is_factored = point.scale_register is not None
    if (
        span * abs(times) + abs(plus) >= MOST
        or rounded_to is None
        or (is_factored and (plus or step is not None))
    ):
        return otherwise
    coarse = 10 ** max(0, places - rounded_to)
    number_of = _number_reader(point, at, times, plus)
    if point.scale_register is not None:
        return _factored(number_of, at + point.scale_register - point.address, places)
    is_restricted = point.invalid or (point.type.startswith("s") and _is_positive(point))
    if (times, plus, coarse) != (1, 0, 1) or is_restricted or span > EXACT_INT:
        return _fixed(number_of, unit, coarse)
    return _plain(point, at, unit)


def _is_positive(point: Point) -> bool:
    """Whether it has no negative values."""
    return point.absolute or METRICS[point.metric].kind == "counter"


def _number_reader(point: Point, at: int, times: int, plus: int) -> Number:
    """The value's whole number, times and plus; None where the device has none."""
    bits_of, invalid, span = _bits_reader(point, at), frozenset(point.invalid), 1 << 16 * point.registers
    negative_from = span >> 1 if point.type.startswith("s") else span
    is_positive, is_absolute = _is_positive(point), point.absolute

    def number_of(words: Sequence[int]) -> int | None:
        bits = bits_of(words)
        if bits in invalid:
            return None
        number = (bits if bits < negative_from else bits - span) * times + plus
        if number < 0 and is_positive:
            return -number if is_absolute else None
        return number

    return number_of


def _plain(point: Point, at: int, unit: int) -> Reader:
    """A register or two over a power of ten, and nothing else: most points of most meters, so no call is left in it."""
    bits_of, span = _bits_reader(point, at), 1 << 16 * point.registers
    negative_from = span >> 1 if point.type.startswith("s") else span

    def read_one(words: Sequence[int]) -> Value:
        number = words[at]
        if number >= negative_from:
            number -= span
        return number / unit if number % unit else number // unit

    def read(words: Sequence[int]) -> Value:
        number = bits_of(words)
        if number >= negative_from:
            number -= span
        return number / unit if number % unit else number // unit

    return read_one if point.registers == 1 else read


def _fixed(number_of: Number, unit: int, coarse: int) -> Reader:
    def read(words: Sequence[int]) -> Value:
        number = number_of(words)
        if number is None:
            return None
        if coarse > 1:
            number = _half_even(number, coarse)
        return _divided(number, unit)

    return read


def _factored(number_of: Number, factor_at: int, places: int) -> Reader:
    """With the power of ten that the device tells."""

    def read(words: Sequence[int]) -> Value:
        number, factor = number_of(words), words[factor_at]
        if factor > 0x7FFF:
            factor -= 0x10000
        if number is None or factor not in FACTORS:
            return None
        if factor > places:
            number *= 10 ** (factor - places)
        return _divided(number, 10 ** max(0, places - factor))

    return read


def _divided(number: int, unit: int) -> int | float:
    if number % unit:
        return number / unit
    whole = number // unit
    return whole if -EXACT_INT < whole < EXACT_INT else float(whole)


def _half_even(number: int, coarse: int) -> int:
    """The nearest multiple of `coarse`."""
    whole, rest = divmod(number, coarse)
    return (whole + (2 * rest > coarse or (2 * rest == coarse and whole & 1))) * coarse


def _float_reader(point: Point, at: int, otherwise: Reader) -> Reader:
    scaled_by, step = _places_of(point.scale), resolution_of(point)
    places = None if step is None else _places_of(step)
    if (
        scaled_by is None
        or places is None
        or point.offset
        or point.scale_register is not None
        or point.invalid
    ):
        return otherwise
    if not 0 <= places <= MOST_PLACES or not 0 <= places - scaled_by <= MOST_PLACES:
        return otherwise
    steps = 10.0 ** (places - scaled_by)
    unit: int = 10**places
    bits_of, as_float = _bits_reader(point, at), struct.Struct(_FLOATS[point.type])
    size, unpack = as_float.size, as_float.unpack
    least = 0.0 if _is_positive(point) else -MOST_STEPS

    def read(words: Sequence[int]) -> Value:
        number: float = unpack(bits_of(words).to_bytes(size, "big"))[0]
        exact = number * steps
        if not least <= exact < MOST_STEPS:  # not a number, too
            return otherwise(words)
        nearest = round(exact)
        if abs(exact - nearest) > CLEAR:
            return otherwise(words)
        return nearest / unit if nearest % unit else nearest // unit

    return read
