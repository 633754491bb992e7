"""The least that a Modbus TCP client can do, with pymodbus' framing: no time-out, no check."""

import asyncio
from typing import Any

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU


class Bare(asyncio.Protocol):
    """One read at a time."""

    def __init__(self) -> None:
        self.link: Any = None
        self._decoder = DecodePDU(is_server=False)
        self._framer = FramerSocket(self._decoder)
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.link = transport

    def data_received(self, data: bytes) -> None:
        if self._reply is not None:
            self._reply.set_result(data)

    async def read(self, request: ModbusPDU, transaction: int) -> list[int]:
        request.transaction_id = transaction
        self._reply = asyncio.get_running_loop().create_future()
        self.link.write(self._framer.buildFrame(request))
        _, _, _, pdu = self._framer.decode(await self._reply)
        reply = self._decoder.decode(pdu)
        assert reply is not None
        return list(reply.registers)
