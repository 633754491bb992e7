"""A serial port in memory: what the engine opens as `/dev/...` leads to a simulated wire in the same loop.

The seam is serialx's own: a handler for device paths, in front of the one for real ports. Everything above it is the
engine's: its transport, its time-outs, its silences. What is below it, the driver and the kernel, is what the tests on
pseudo-terminals are for.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import serialx

from ccm_sim.wire import Alarm, Wire


@dataclass(frozen=True, slots=True)
class LoopTimers:
    """An event loop's, as a wire wants them."""

    loop: asyncio.AbstractEventLoop

    def now(self) -> float:
        return self.loop.time()

    def call_at(self, moment: float, call: Callable[[], None], *, is_precise: bool = False) -> Alarm:
        return self.loop.call_at(moment, call)


class MemoryPort:
    """The adapter and the cable; `wire` is set once, for it wants to know where its bytes go."""

    wire: Wire

    def __init__(self, heard: Callable[[bytes], None], opened: Callable[[], None]) -> None:
        """`heard` is told of all that is written, `opened` of each opening."""
        self.is_plugged = True
        self.is_hung = False
        """Open, and no byte goes either way."""
        self.opens_after_s = 0.0
        self.openings = 0
        self._heard = heard
        self._opened = opened
        self._link: MemoryLink | None = None

    async def open(self, link: "MemoryLink") -> None:
        if self.opens_after_s:
            await asyncio.sleep(self.opens_after_s)
        if not self.is_plugged:
            raise _error(errno.ENOENT)
        if self._link is not None:
            raise _error(errno.EBUSY)
        self._link = link
        self.openings += 1
        self._opened()

    def close(self, link: "MemoryLink") -> None:
        if self._link is link:
            self._link = None

    def unplug(self) -> None:
        """The adapter goes; `plug` brings it back."""
        self.is_plugged = False
        link, self._link = self._link, None
        if link is not None:
            link.lose(_error(errno.EIO))

    def plug(self) -> None:
        self.is_plugged = True

    def write(self, link: "MemoryLink", data: bytes) -> None:
        if self.is_hung or link is not self._link:
            return
        self._heard(data)
        if link.rate == self.wire.pace.baudrate:
            self.wire.take(data)

    def put(self, data: bytes) -> None:
        """From the wire to whoever has it open at the right rate."""
        link = self._link
        if link is not None and not self.is_hung and link.rate == self.wire.pace.baudrate:
            link.receive(data)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class MemoryLink(serialx.BaseSerialTransport):
    """One opening of a port."""

    ports: ClassVar[dict[str, MemoryPort]] = {}
    rate = 0

    async def _connect(self, *, path: str | None, **kwargs: Any) -> None:
        port = self.ports.get(path or "")
        if port is None:
            raise _error(errno.ENOENT)
        await port.open(self)
        self._port = port
        self.rate = kwargs["baudrate"]
        self._call_protocol_connection_made()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._port.write(self, bytes(data))

    def receive(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def lose(self, err: OSError) -> None:
        self._closing = True
        self._loop.call_soon(self._call_protocol_connection_lost, err)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if self._connection_made_called:
                self._port.close(self)
            self._loop.call_soon(self._call_protocol_connection_lost, None)

    def abort(self) -> None:
        self.close()

    async def _flush(self) -> None:
        """Nothing is kept."""

    async def _get_modem_pins(self) -> Any:
        return serialx.ModemPins()

    async def _set_modem_pins(self, modem_pins: Any) -> None:
        """There are none."""

    async def _reconfigure_port(self, update: Any) -> None:
        """The engine opens anew."""


@contextmanager
def at_path(path: str, port: MemoryPort) -> Iterator[None]:
    """Whoever opens this path meanwhile gets the port; there are no real ones."""
    end = serialx.register_uri_handler(
        scheme="device://",
        unique_scheme=f"memory-{path.strip('/').replace('/', '-')}://",
        sync_cls=serialx.Serial,  # type: ignore[type-abstract] # never made
        async_transport_cls=MemoryLink,
        weight=1000,
    )
    MemoryLink.ports[path] = port
    try:
        yield
    finally:
        del MemoryLink.ports[path]
        end()
