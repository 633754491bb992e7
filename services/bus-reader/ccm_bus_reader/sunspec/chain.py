"""Where a device keeps its SunSpec models: the marker, and the chain of (model, length) behind it.

Sans-I/O: each generator yields the reads it wants, and is sent their registers, or None for a read that was refused.
Source: SunSpec Device Information Model Specification V1.1, "Modbus register mapping".
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

BASES: Final = (40000, 50000, 0)
"""Where the marker may be, the usual place first."""
MARKER: Final = (0x5375, 0x6E53)
"""`SunS`."""
END: Final = 0xFFFF
MOST_MODELS: Final = 64
"""A longer chain is a loop or no chain."""

Words = Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Read:
    """Holding registers that are wanted next."""

    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Place:
    """One model of a device; `address` is that of its ID register, `length` counts without ID and length."""

    model: int
    address: int
    length: int

    @property
    def end(self) -> int:
        """The first address after the model."""
        return self.address + 2 + self.length


class NotFoundError(Exception):
    """The device is no SunSpec device, or not the one that was meant; the text says it to people."""


def find_chain(attempt: int = 0) -> Generator[Read, Words, tuple[Place, ...]]:
    """All models of the device, in their order.

    `attempt` counts earlier ones that ended in silence: some devices do not answer at all where they have nothing, so
    each attempt begins at another of the three places. Raises `NotFoundError`.
    """
    turn = attempt % len(BASES)
    for base in BASES[turn:] + BASES[:turn]:
        words = yield Read(base, 4)
        if words is not None and tuple(words[:2]) == MARKER:
            return (yield from _walk(base + 2, words[2:]))
    places = ", ".join(map(str, BASES))
    raise NotFoundError(f"is no SunSpec device: no marker SunS at register {places}")


def _walk(address: int, header: Sequence[int]) -> Generator[Read, Words, tuple[Place, ...]]:
    """A chain ends with the model 0xFFFF, where the device refuses to go on, or at the last address."""
    chain: list[Place] = []
    while header[0] != END and len(chain) < MOST_MODELS:
        place = Place(header[0], address, header[1])
        if place.end > END:
            break
        chain.append(place)
        address = place.end
        words = yield Read(address, 2)
        if words is None:
            break
        header = words
    return tuple(chain)


def read_registers(address: int, count: int, most: int) -> Generator[Read, Words, list[int]]:
    """`count` registers from `address`, `most` a read. Raises `NotFoundError` when they are refused."""
    registers: list[int] = []
    while len(registers) < count:
        words = yield Read(address + len(registers), min(most, count - len(registers)))
        if words is None:
            raise NotFoundError(f"refuses to read its SunSpec registers {address} to {address + count - 1}")
        registers += words
    return registers
