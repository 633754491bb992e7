"""The planner against brute force, and against the rules that a read must keep."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccm_bus_reader.decode import decode
from ccm_bus_reader.plan import Block, WireCost, cuts, padded, plan, split, wire_time
from ccm_bus_reader.profile import Point
from ccm_contracts.metrics import METRICS

SERIAL = WireCost.serial(9600, turnaround_s=0.005)
NUMBERS = [name for name, metric in METRICS.items() if metric.kind != "text"]


@st.composite
def point_lists(draw: st.DrawFn, most: int = 7) -> list[Point]:
    """Points of one function without overlap, with gaps of 0 to 30 registers."""
    address, points = draw(st.integers(0, 20)), []
    for metric in NUMBERS[: draw(st.integers(1, most))]:
        type_ = draw(st.sampled_from(["u16", "s16", "u32", "f32", "u64"]))
        point = Point(metric=metric, function=3, address=address, type=type_)
        points.append(point)
        address = point.end + draw(st.integers(0, 30))
    return points


def groupings(points: Sequence[Point]) -> Iterator[list[list[Point]]]:
    """Every way to cut a sequence into runs."""
    if not points:
        yield []
        return
    for size in range(1, len(points) + 1):
        for rest in groupings(points[size:]):
            yield [list(points[:size]), *rest]


def is_allowed(
    run: list[Point], max_block: int, unreadable: tuple[int, int] | None, barrier: int | None
) -> bool:
    start, end = run[0].address, run[-1].end
    touches = unreadable is not None and start <= unreadable[1] and unreadable[0] < end
    crosses = barrier is not None and start < barrier < end
    return end - start <= max_block and not touches and not crosses


def cost_of(run: list[Point], cost: WireCost) -> float:
    registers = run[-1].end - run[0].address
    return (8 + 5 + 2 * registers) * cost.char_s + cost.turnaround_s + cost.silence_s


@settings(deadline=None, max_examples=150)
@given(
    points=point_lists(),
    max_block=st.integers(4, 60),
    turnaround_s=st.sampled_from([0.0, 0.005, 0.05]),
    at=st.integers(0, 6),
    fence=st.sampled_from(["none", "barrier", "unreadable"]),
)
def test_plan_takes_no_longer_than_any_other_grouping(
    points: list[Point], max_block: int, turnaround_s: float, at: int, fence: str
) -> None:
    cost = WireCost.serial(9600, turnaround_s=turnaround_s)
    edge = points[at % len(points)]
    barrier = edge.address if fence == "barrier" else None
    gap = (edge.end, edge.end) if fence == "unreadable" else None
    if gap is not None and any(point.address == gap[0] for point in points):
        gap = None
    blocks = plan(
        points,
        cost,
        max_block=max_block,
        unreadable=[gap] if gap else [],
        barriers=[barrier] if barrier else [],
    )
    shortest = min(
        sum(cost_of(run, cost) for run in runs)
        for runs in groupings(points)
        if all(is_allowed(run, max_block, gap, barrier) for run in runs)
    )
    assert sum(wire_time(block, cost) for block in blocks) == pytest.approx(shortest)
    assert [point for block in blocks for point in block.points] == points
    assert all(block.count <= max_block for block in blocks)


@settings(deadline=None, max_examples=100)
@given(points=point_lists(most=12), seed=st.integers(0, 2**32))
def test_any_split_decodes_the_same_values_as_single_reads(points: list[Point], seed: int) -> None:
    memory = [(seed * 2654435761 + 40503 * n) >> 7 & 0xFFFF for n in range(1000)]

    def read(block: Block) -> dict[str, object]:
        return dict(decode(block, memory[block.address : block.address + block.count]))

    single: dict[str, object] = {}
    for point in points:
        single |= read(Block(3, point.address, point.registers, (point,)))
    pending = list(plan(points, SERIAL))
    seen: dict[str, object] = {}
    while pending:
        block = pending.pop()
        seen |= read(block)
        halves = split(block)
        pending += halves if len(halves) > 1 else ()
        again: dict[str, object] = {}
        for half in halves:
            again |= read(half)
        assert again == read(block)
    assert seen == single


def test_wire_time_counts_request_turnaround_reply_and_silence() -> None:
    block = Block(4, 0, 80, ())
    # 8 + (5 + 160) characters of 10 bits at 9600 baud, 5 ms, 3.5 characters
    assert wire_time(block, SERIAL) == pytest.approx((8 + 165 + 3.5) * 10 / 9600 + 0.005)


def test_silence_stops_shrinking_above_19200_baud() -> None:
    # Modbus over serial line V1.02, 2.5.1.1: 1.75 ms
    assert WireCost.serial(115200).silence_s == 0.00175
    assert WireCost.serial(19200).silence_s == pytest.approx(3.5 * 10 / 19200)


def test_gap_is_read_across_only_while_it_costs_less_than_a_request() -> None:
    # A request costs 13 + 3.5 characters and 5 ms (4.8 characters): 21.3, so up to 10 registers of gap.
    def points(gap: int) -> list[Point]:
        return [
            Point(metric="v1", function=4, address=0, type="u16"),
            Point(metric="v2", function=4, address=1 + gap, type="u16"),
        ]

    assert len(plan(points(10), SERIAL)) == 1
    assert len(plan(points(11), SERIAL)) == 2


def test_functions_are_read_apart() -> None:
    points = [
        Point(metric="v1", function=4, address=0, type="u16"),
        Point(metric="v2", function=3, address=1, type="u16"),
        Point(metric="status", function=1, address=2, type="bool"),
    ]
    assert [(b.function, b.address, b.count) for b in plan(points, SERIAL)] == [
        (1, 2, 1),
        (3, 1, 1),
        (4, 0, 1),
    ]


def test_value_is_read_with_its_scale_register() -> None:
    points = [
        Point(metric="p", function=3, address=0, type="s16", scale_register=40),
        Point(metric="v1", function=3, address=20, type="u16"),
    ]
    (block,) = plan(points, SERIAL)
    assert (block.address, block.count) == (0, 41)
    assert split(block) == (block,)


def test_split_cuts_at_the_widest_gap() -> None:
    addresses = {"v1": 0, "v2": 1, "v3": 9, "i1": 10}
    points = [Point(metric=name, function=3, address=at, type="u16") for name, at in addresses.items()]
    (block,) = plan(points, SERIAL)
    left, right = split(block)
    assert ((left.address, left.count), (right.address, right.count)) == ((0, 2), (9, 2))


def test_split_second_half_as_barrier_keeps_the_plan_cut() -> None:
    points = [Point(metric=name, function=3, address=n, type="u16") for n, name in enumerate(NUMBERS[:8])]
    (block,) = plan(points, SERIAL)
    halves = split(block)
    assert plan(points, SERIAL, barriers=[halves[1].address]) == halves
    assert all(left.end <= right.address for left, right in pairwise(halves))


def test_point_that_no_read_may_hold_is_refused() -> None:
    points = [Point(metric="v1", function=3, address=5, type="u32")]
    with pytest.raises(ValueError, match="v1: no read may hold address 5 to 6"):
        plan(points, SERIAL, barriers=[6])


def test_on_tcp_one_long_read_beats_two_short_ones() -> None:
    points = [
        Point(metric="v1", function=4, address=0, type="u16"),
        Point(metric="v2", function=4, address=120, type="u16"),
    ]
    assert len(plan(points, WireCost.tcp())) == 1


@settings(deadline=None, max_examples=100)
@given(points=point_lists(most=4))
def test_every_cut_brings_the_same_points_with_replies_of_other_lengths(points: list[Point]) -> None:
    (block,) = plan(points, WireCost.tcp())
    others = list(cuts(block))
    assert len(others) == len(points) - 1
    for pieces in others:
        assert [point for piece in pieces for point in piece.points] == list(block.points)
        assert all(piece.count < block.count for piece in pieces)


def test_padding_keeps_the_rules_of_the_profile() -> None:
    point = Point(metric="v1", function=3, address=10, type="u32")
    (block,) = plan([point], SERIAL)
    assert [pieces[0].count for pieces in padded(block)] == [3, 4, 5]
    assert [pieces[0].count for pieces in padded(block, unreadable=[(13, 20)])] == [3]
    assert list(padded(block, max_block=2)) == []
    assert list(padded(block, barriers=[12])) == []
    last = Point(metric="v1", function=3, address=65535, type="u16")
    assert list(padded(*plan([last], SERIAL))) == []


def test_no_joined_read_of_a_9600_baud_line_keeps_a_command_waiting_for_150_ms() -> None:
    """60 registers: 8 + 5 + 120 characters of 10 bits, 5 ms turnaround, 3.5 characters: 147 ms."""
    points = [
        Point(metric=metric, function=3, address=4 * n, type="u64") for n, metric in enumerate(NUMBERS[:30])
    ]
    blocks = plan(points, SERIAL, most_joined=SERIAL.most_joined)
    assert [block.count for block in blocks] == [60, 60]
    assert all(wire_time(block, SERIAL) < 0.150 for block in blocks)
    assert WireCost.serial(19200).most_joined > 110
    assert WireCost.serial(2400).most_joined == 60


def test_value_that_is_longer_than_joined_reads_is_read_all_the_same() -> None:
    serial = Point(metric="serial", function=3, address=0, type="string", length=100)
    number = Point(metric="v1", function=3, address=100, type="u16")
    assert [block.count for block in plan([serial, number], SERIAL, most_joined=60)] == [100, 1]
