"""What is decoded without decimals is what decimals say, bit for bit: all of the catalogue, and made ones."""

import random
import struct
from decimal import Decimal
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.decode import by_decimals, decode
from ccm_bus_reader.plan import Block
from ccm_bus_reader.point import Point

REGISTERS: Final = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "u64": 4, "s64": 4, "f32": 2, "f64": 4}
WORDS: Final = st.lists(
    st.one_of(st.integers(0, 0xFFFF), st.sampled_from((0, 1, 0x7FFF, 0x8000, 0xFFFF, 0xFFFB))),
    min_size=5,
    max_size=5,
)
SCALES: Final = (
    "1",
    "0.1",
    "0.01",
    "0.001",
    "10",
    "1000",
    "-1",
    "-0.001",
    "0.5",
    "0.25",
    "0.2",
    "3.6",
    "0.000277778",
)
STEPS: Final = (None, "1", "0.1", "0.01", "0.001", "0.5", "10")


def block_of(point: Point) -> Block:
    start, end = point.span
    return Block(point.function, start, end - start, (point,))


def assert_same(point: Point, words: list[int]) -> None:
    block = block_of(point)
    swift, exact = (
        decode(block, words)[point.metric],
        by_decimals(point, words, point.address - block.address),
    )
    assert (type(swift), repr(swift)) == (type(exact), repr(exact)), (point, words)


@settings(max_examples=400, deadline=None)
@given(
    type_=st.sampled_from(sorted(REGISTERS)),
    order=st.sampled_from(("big", "word-swapped", "byte-swapped", "little")),
    metric=st.sampled_from(("p", "v1", "e_imp", "pf", "i1", "f")),
    scale=st.sampled_from(SCALES),
    offset=st.sampled_from(("0", "0", "0", "-40", "0.05")),
    step=st.sampled_from(STEPS),
    absolute=st.booleans(),
    has_factor=st.booleans(),
    words=WORDS,
)
@example("s16", "big", "p", "0.001", "0", "0.01", False, False, [5, 0, 0, 0, 0])  # 0.005: a tie
@example("s16", "big", "p", "0.001", "0", "0.01", False, False, [15, 0, 0, 0, 0])
@example("s16", "big", "p", "0.001", "0", "0.01", False, False, [0xFFF1, 0, 0, 0, 0])
@example(
    "u16", "big", "p", "1", "0", None, False, True, [7, 0x8000, 0, 0, 0]
)  # a factor that is not implemented
def test_any_point_and_any_words(
    type_: str,
    order: str,
    metric: str,
    scale: str,
    offset: str,
    step: str | None,
    absolute: bool,
    has_factor: bool,
    words: list[int],
) -> None:
    fields: dict[str, Any] = {"metric": metric, "function": 3, "address": 0, "type": type_, "order": order}
    fields |= {"scale": scale, "offset": offset, "resolution": step, "absolute": absolute}
    if has_factor and not type_.startswith("f"):
        fields["scale_register"] = REGISTERS[type_]
        words[REGISTERS[type_]] = words[REGISTERS[type_]] % 24 - 12 & 0xFFFF if words[4] % 3 else 0x8000
    assert_same(Point.model_validate(fields), words)


@settings(max_examples=400, deadline=None)
@given(
    metric=st.sampled_from(("p", "v1", "e_imp", "pf", "i1", "f")),
    type_=st.sampled_from(("f32", "f64")),
    scale=st.sampled_from(("1", "0.001", "1000", "0.1", "-1")),
    step=st.sampled_from(STEPS),
    number=st.one_of(
        st.floats(-1e6, 1e6, width=32),
        st.integers(-(10**7), 10**7).map(lambda halves: halves * 0.0005),  # ties, or a hair beside
        st.sampled_from(
            (0.0, -0.0, float("nan"), float("inf"), 1e-45, 3.4e38, 2.0**40, 2.0**53 + 2, 16777216.5)
        ),
    ),
)
def test_floats_on_and_beside_the_border_between_two_steps(
    metric: str, type_: str, scale: str, step: str | None, number: float
) -> None:
    fields = {
        "metric": metric,
        "function": 3,
        "address": 0,
        "type": type_,
        "scale": scale,
        "resolution": step,
    }
    data = struct.pack(">f" if type_ == "f32" else ">d", number)
    assert_same(Point.model_validate(fields), list(struct.unpack(f">{len(data) // 2}H", data)))


def test_every_point_of_the_catalogue() -> None:
    chance = random.Random(4)
    for profile in load_catalog().models():
        for point in profile.points:
            size = block_of(point).count
            for words in (
                [chance.randrange(0x10000) for _ in range(size)],
                [chance.choice((0, 0, 1, 0xFFFF, 0x8000, chance.randrange(500))) for _ in range(size)],
            ):
                if point.function in (1, 2):
                    words = [word & 1 for word in words]
                assert_same(point, words)


def test_a_block_made_anew_is_not_taken_for_an_old_one() -> None:
    for scale in ("1", "0.1", "0.01"):
        for _ in range(3):
            point = Point(metric="p", function=3, address=0, type="u16", scale=Decimal(scale))
            assert decode(block_of(point), [1234]) == {"p": float(1234 * Decimal(scale))}
