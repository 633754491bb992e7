"""A serial server: a line's bytes at a TCP port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ccm_bus_reader.transport import SerialPort, Transport
from ccm_kit.clock import SystemClock


@asynccontextmanager
async def serial_server(path: Path, *, echoes: bool = False) -> AsyncIterator[int]:
    """RTU over TCP: a port of this machine whose bytes go to and come from the serial line.

    With `echoes` it hands back what it is given, as an adapter does whose receiver stays on while it sends.
    """
    wire = Transport(SerialPort(str(path)), SystemClock())
    await wire.open()

    async def serve(hearer: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back = asyncio.create_task(forward(writer))
        while data := await hearer.read(300):
            if echoes:
                writer.write(data)
            wire.write(data, 0.0)
        back.cancel()
        writer.close()

    async def forward(writer: asyncio.StreamWriter) -> None:
        while wire.is_open:
            await wire.wait(SystemClock().monotonic() + 1)
            writer.write(bytes(wire.received))
            wire.received.clear()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
    await wire.close()
