"""A search of a Modbus TCP host that no device is configured at: over a connection of the search's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_bus_reader.drivers.modbus import Tcp
from ccm_bus_reader.line import Line
from ccm_bus_reader.search_line import LineWire
from ccm_bus_reader.transport import TcpHost, Transport
from ccm_contracts.scan_state import LineSetting
from ccm_kit.clock import Clock


class HostAccess:
    """The connection, opened at the first turn and again when it was lost."""

    def __init__(self, host: str, tcp_port: int, clock: Clock) -> None:
        self._transport = Transport(TcpHost(host, tcp_port), clock)
        self._line = Line(self._transport, Tcp(), clock, is_numbered=True)

    @asynccontextmanager
    async def turn(self, _: LineSetting) -> AsyncIterator[LineWire]:
        """Raises `UnavailableError`."""
        if not self._transport.is_open:
            await self._transport.open()
            self._line.opened()
        wire = LineWire(self._line)
        wire.late_units()
        yield wire

    async def close(self) -> None:
        await self._transport.close()
