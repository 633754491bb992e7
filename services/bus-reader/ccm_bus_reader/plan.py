"""Which reads bring a set of points in the least time on the wire. Pure.

Does not talk to devices: `split` is the answer to an exception 2, and the caller remembers its second half's address
as a barrier of later plans.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ccm_bus_reader.line_times import silence_s
from ccm_bus_reader.point import MAX_BLOCK, Point

REQUEST_CHARS = 8
"""Unit, function, address, count and CRC of a read request."""
REPLY_CHARS = 5
"""Unit, function, byte count and CRC of its reply; the data comes on top."""
MAX_BITS = 2000
"""Coils or discrete inputs of the longest read."""
BIT_FUNCTIONS = (1, 2)
ADDRESSES = 65536


LONGEST_FRAME_S = 0.145
"""A command waits for the frame on the wire, and shall not wait for longer than 150 ms."""
FEWEST_JOINED = 60
"""On slow lines reads are joined up to so many registers all the same: else they would be all overhead."""


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers (or coils) from `address`, and the points that it holds."""

    function: int
    address: int
    count: int
    points: tuple[Point, ...]

    @property
    def end(self) -> int:
        """The first address after the block."""
        return self.address + self.count

    @property
    def is_padded(self) -> bool:
        """Whether it reads on behind its last point."""
        return self.end > max(point.span[1] for point in self.points)


@dataclass(frozen=True, slots=True)
class WireCost:
    """What a transaction costs, s: each byte, the device's turnaround, the silence after the reply."""

    char_s: float
    turnaround_s: float
    silence_s: float

    @property
    def most_joined(self) -> int:
        """Registers up to which reads are joined, so that a transaction ends within `LONGEST_FRAME_S`."""
        chars = (LONGEST_FRAME_S - self.turnaround_s - self.silence_s) / self.char_s
        return max(FEWEST_JOINED, int(chars - REQUEST_CHARS - REPLY_CHARS) // 2)

    @classmethod
    def serial(cls, baudrate: int, *, char_bits: int = 10, turnaround_s: float = 0.010) -> "WireCost":
        """A serial line; `char_bits` counts start, data, parity and stop bits (8N1: 10, 8E1: 11)."""
        char_s = char_bits / baudrate
        return cls(char_s, turnaround_s, silence_s(char_s))

    @classmethod
    def tcp(cls, round_trip_s: float = 0.005) -> "WireCost":
        """A TCP connection: the round trip decides, a byte costs next to nothing."""
        return cls(char_s=1e-7, turnaround_s=round_trip_s, silence_s=0.0)


@dataclass(frozen=True, slots=True)
class _Atom:
    """Registers that one read must hold together, and their points."""

    start: int
    end: int
    points: tuple[Point, ...]


def wire_time(block: Block, cost: WireCost) -> float:
    """Seconds from the request's first byte to the end of the silence after the reply."""
    return _time(block.function, block.count, cost)


def _time(function: int, count: int, cost: WireCost) -> float:
    data = (count + 7) // 8 if function in BIT_FUNCTIONS else 2 * count
    return (REQUEST_CHARS + REPLY_CHARS + data) * cost.char_s + cost.turnaround_s + cost.silence_s


def plan(
    points: Iterable[Point],
    cost: WireCost,
    *,
    max_block: int = MAX_BLOCK,
    unreadable: Sequence[tuple[int, int]] = (),
    barriers: Iterable[int] = (),
    most_joined: int = MAX_BLOCK,
) -> tuple[Block, ...]:
    """The reads of all `points` with the least time on the wire, by function and address.

    `most_joined`: registers of the longest read of more than one value. `unreadable`: first and last address of ranges
    that no read touches; `barriers`: addresses at which a new read starts. A value, with its scale register, is never
    split. Raises `ValueError` where a point cannot be read at all.
    """
    by_function: dict[int, list[Point]] = {}
    for point in points:
        by_function.setdefault(point.function, []).append(point)
    fences = sorted(barriers)
    blocks: list[Block] = []
    for function, group in sorted(by_function.items()):
        is_bits = function in BIT_FUNCTIONS
        limit, joined = (MAX_BITS, 16 * most_joined) if is_bits else (max_block, most_joined)
        rules = _Rules(limit, tuple(unreadable), tuple(fences), joined)
        blocks += _cheapest(function, _atoms(group), cost, rules)
    return tuple(blocks)


@dataclass(frozen=True, slots=True)
class _Rules:
    max_block: int
    unreadable: tuple[tuple[int, int], ...]
    barriers: tuple[int, ...]
    most_joined: int = MAX_BITS

    def allow(self, start: int, end: int) -> bool:
        """Whether one read may hold the addresses from `start` up to, not including, `end`."""
        return (
            end - start <= self.max_block
            and not any(first < end and start <= last for first, last in self.unreadable)
            and not any(start < barrier < end for barrier in self.barriers)
        )


def _atoms(points: Iterable[Point]) -> list[_Atom]:
    """Points that share registers go together; all others stand alone. In the order of addresses."""
    atoms: list[_Atom] = []
    for point in sorted(points, key=lambda each: (each.span, each.address, each.metric)):
        start, end = point.span
        if atoms and start < atoms[-1].end:
            last = atoms[-1]
            atoms[-1] = _Atom(last.start, max(last.end, end), (*last.points, point))
        else:
            atoms.append(_Atom(start, end, (point,)))
    return atoms


def _cheapest(function: int, atoms: Sequence[_Atom], cost: WireCost, rules: _Rules) -> list[Block]:
    """Dynamic programming over the end of the last read: best[k] is the least time of the first k atoms."""
    best = [0.0] + [float("inf")] * len(atoms)
    came_from = [0] * (len(atoms) + 1)
    for k, last in enumerate(atoms, 1):
        for j in range(k - 1, -1, -1):
            length = last.end - atoms[j].start
            if length > rules.max_block or (j < k - 1 and length > rules.most_joined):
                break
            if not rules.allow(atoms[j].start, last.end):
                continue
            time = best[j] + _time(function, last.end - atoms[j].start, cost)
            if time < best[k]:
                best[k], came_from[k] = time, j
        if best[k] == float("inf"):
            raise ValueError(
                f"{last.points[0].metric}: no read may hold address {last.start} to {last.end - 1}"
            )
    blocks: list[Block] = []
    k = len(atoms)
    while k:
        blocks.append(_block(function, atoms[came_from[k] : k]))
        k = came_from[k]
    return blocks[::-1]


def _block(function: int, atoms: Sequence[_Atom]) -> Block:
    points = tuple(point for atom in atoms for point in atom.points)
    return Block(function, atoms[0].start, atoms[-1].end - atoms[0].start, points)


def split(block: Block) -> tuple[Block, ...]:
    """Two reads for one that the device refused: at its widest gap, else near its middle.

    The block alone when no cut leaves every value whole. The second half's address is the barrier to remember.
    """
    atoms = _atoms(block.points)
    if len(atoms) < 2:
        return (block,)
    middle = block.address + block.count / 2
    cuts = [
        (right.start - left.end, -abs(right.start - middle), at)
        for at, (left, right) in enumerate(pairwise(atoms), 1)
    ]
    at = max(cuts)[2]
    return _block(block.function, atoms[:at]), _block(block.function, atoms[at:])


MOST_PADDING = 3
"""Registers that a read may be longer than its points need, to be told from another."""


def cuts(block: Block) -> Iterator[tuple[Block, ...]]:
    """Reads that bring the same points with replies of other lengths: the block cut in two, at each place."""
    atoms = _atoms(block.points)
    for at in range(1, len(atoms)):
        yield _block(block.function, atoms[:at]), _block(block.function, atoms[at:])


def padded(
    block: Block,
    *,
    max_block: int = MAX_BLOCK,
    unreadable: Sequence[tuple[int, int]] = (),
    barriers: Iterable[int] = (),
) -> Iterator[tuple[Block, ...]]:
    """The block with a register or more behind it, as far as the rules of `plan` allow; not for coils."""
    rules = _Rules(max_block, tuple(unreadable), tuple(barriers))
    for count in range(block.count + 1, block.count + 1 + MOST_PADDING):
        end = block.address + count
        if block.function not in BIT_FUNCTIONS and end <= ADDRESSES and rules.allow(block.address, end):
            yield (replace(block, count=count),)
