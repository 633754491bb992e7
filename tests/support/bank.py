"""A Modbus TCP device whose registers a test sets while it runs. Its codec is the simulator's, not bus-reader's."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ccm_sim import modbus


class Bank:
    """Registers of one unit; an address that was never set is refused. `before_read` may change them at each read."""

    functions = frozenset({3, 4, 6, 16})

    def __init__(self) -> None:
        self.registers: dict[int, int] = {}
        self.reads: list[tuple[int, int]] = []
        """Address and count of each read."""
        self.port = 0
        self.before_read: Callable[[int, int], None] = lambda _address, _count: None

    def put(self, address: int, *words: int) -> None:
        self.registers.update(enumerate(words, address))

    def put_f32(self, address: int, value: float) -> None:
        self.put(address, *struct.unpack(">HH", struct.pack(">f", value)))

    def put_u32(self, address: int, value: int) -> None:
        self.put(address, value >> 16, value & 0xFFFF)

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        self.reads.append((address, count))
        self.before_read(address, count)
        try:
            return [self.registers[each] for each in range(address, address + count)]
        except KeyError as err:
            raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS) from err

    def write(self, address: int, values: Sequence[int]) -> None:
        self.put(address, *values)


@asynccontextmanager
async def serving(bank: Bank, *, hangs_up: bool = False) -> AsyncIterator[Bank]:
    """The bank at `127.0.0.1:bank.port`, for any unit; `hangs_up`: after each answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                received += data
                while (frame := modbus.next_mbap(received)) is not None:
                    transaction, unit, pdu, used = frame
                    received = received[used:]
                    writer.write(modbus.mbap(transaction, unit, modbus.answer(pdu, bank)))
                await writer.drain()
                if hangs_up:
                    break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    bank.port = server.sockets[0].getsockname()[1]
    try:
        yield bank
    finally:
        server.close()
