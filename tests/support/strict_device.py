"""A device of the catalogue on a real wire: it holds what a test lays into it and notes every read it must not get."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ccm_bus_reader.model import Limits, Profile
from ccm_bus_reader.point import Point
from ccm_bus_reader.sunspec.table import tables
from ccm_sim import modbus
from tests.support.registers import Meaning, Slot, choices, factor_slot, laid_out, meaning, sign_slot, slot_of

FILLING = 0xA5A5
"""What a register holds that no point of the profile names."""


@dataclass
class StrictDevice:
    """Answers reads within the limits of its documents; the others are refused and noted in `faults`."""

    limits: Limits
    registers: dict[tuple[int, int], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    reads: int = 0
    functions: frozenset[int] = frozenset({3, 4})
    filling: int = FILLING
    shift: int = 0
    """How much further behind what the profile shows its registers lie: those of a meter behind another."""

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        self.reads += 1
        end = address + count
        if count > self.limits.max_block:
            self.fault(f"{count} registers from {address}: more than {self.limits.max_block}")
        for first, last in self.limits.unreadable:
            if address <= last and first < end:
                self.fault(f"{address} to {end - 1} touches the unreadable {first} to {last}")
        for barrier in self.limits.barriers:
            if address < barrier < end:
                self.fault(f"{address} to {end - 1} crosses {barrier}")
        return [self.registers.get((function, each), self.filling) for each in range(address, end)]

    def fault(self, text: str) -> None:
        self.faults.append(text)
        raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS)

    def write(self, address: int, values: Sequence[int]) -> None:
        self.fault(f"a write to {address}")

    def put(self, slot: Slot, bits: int) -> None:
        for place, word in zip(slot.places, laid_out(bits, slot), strict=True):
            self.registers[slot.function, self.shift + place] = word

    def holds(self, slot: Slot, bits: int) -> bool:
        """Whether nothing else was laid over it."""
        words = laid_out(bits, slot)
        return [self.registers[slot.function, self.shift + place] for place in slot.places] == words


def device_of(profile: Profile) -> StrictDevice:
    """An empty one; a SunSpec device has the chain of models that the profile shows."""
    if profile.sunspec is None:
        return StrictDevice(profile.limits)
    shown: list[int] = []
    for model in profile.sunspec.shows:
        length = next(table.length for table in tables() if model in table.ids)
        shown += [model, length] + [0] * length
    before = profile.sunspec.instance - 1
    words = [0x5375, 0x6E53, *shown * (before + 1), 0xFFFF, 0]
    registers = {(3, at): word for at, word in enumerate(words, 40000)}
    return StrictDevice(profile.limits, registers, filling=0, shift=before * len(shown))


def slots_of(points: Sequence[Point]) -> dict[Slot, list[Point]]:
    """The slots of these points with who reads them; a scale factor belongs to none."""
    slots: dict[Slot, list[Point]] = {}
    for point in points:
        subtracted = () if point.less is None else (point.less,)
        for at in (point.address, *point.plus, *subtracted):
            slots.setdefault(slot_of(point, at), []).append(point)
    return slots


def lay(
    device: StrictDevice, points: Sequence[Point], turn: int, factors: Sequence[int]
) -> dict[str, Meaning]:
    """Fill the device for this turn; what each point then means. Points that others were laid over are left out."""
    slots = slots_of(points)
    held: dict[Slot, int] = {}
    for index, (slot, readers) in enumerate(slots.items()):
        patterns = choices(slot, readers, index)
        held[slot] = patterns[(turn + index) % len(patterns)]
    for index, slot in enumerate(each for point in points if (each := factor_slot(point)) is not None):
        held.setdefault(slot, factors[(turn + index) % len(factors)] & 0xFFFF)
    for index, point in enumerate(points):
        if (sign := sign_slot(point)) is not None:
            held.setdefault(sign, (0, 1, 2, 0xFFFF)[(turn + index) % 4])
    for slot in held if turn % 2 == 0 else reversed(held):
        device.put(slot, held[slot])
    return {
        point.metric: meaning(point, held)
        for point in points
        if all(device.holds(slot, held[slot]) for slot in slots_with(point))
    }


def slots_with(point: Point) -> list[Slot]:
    along = (factor_slot(point), sign_slot(point))
    return [*slots_of([point]), *(slot for slot in along if slot is not None)]


# --- on the wire ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_tcp(units: Mapping[int, StrictDevice], *, is_rtu: bool = False) -> AsyncIterator[int]:
    """The devices by unit, as Modbus TCP or as RTU frames over TCP; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                replies, received = answers(units, received + data, is_rtu=is_rtu)
                writer.write(replies)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def on_terminal(units: Mapping[int, StrictDevice], path: str) -> AsyncIterator[None]:
    """The devices by unit, answering RTU frames at that terminal."""
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    received = b""

    def readable() -> None:
        nonlocal received
        replies, received = answers(units, received + os.read(terminal, 4096), is_rtu=True)
        os.write(terminal, replies)

    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, readable)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        os.close(terminal)


def answers(units: Mapping[int, StrictDevice], received: bytes, *, is_rtu: bool) -> tuple[bytes, bytes]:
    """The replies to all whole requests, and the bytes that are left."""
    replies = b""
    while True:
        if is_rtu:
            length = modbus.rtu_request_length(received)
            if length is None or len(received) < length:
                return replies, received
            frame, received = received[:length], received[length:]
            assert modbus.is_whole(frame)
            replies += modbus.rtu(frame[0], modbus.answer(frame[1:-2], units[frame[0]]))
        elif (request := modbus.next_mbap(received)) is not None:
            transaction, unit, pdu, used = request
            received = received[used:]
            replies += modbus.mbap(transaction, unit, modbus.answer(pdu, units[unit]))
        else:
            return replies, received
