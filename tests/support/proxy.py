"""A TCP proxy that misbehaves on request: cuts, delays, throttles, stalls, half-closes, and loses answers.

Knows no protocol. Each connection of a client gets one to the target; faults may be changed while it runs.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.support.ports import free_port
from tests.support.wait import until

CHUNK_BYTES: Final = 16 * 1024
CLOSING_S: Final = 5.0

Direction = Literal["up", "down"]
"""`up` is from the client to the target, `down` from the target to the client."""

Change = Callable[[bytes], Awaitable[bytes]]


@dataclass
class Faults:
    """What goes wrong in one direction; all of it may be changed at any time."""

    delay_s: float = 0.0
    """Each chunk is late by so much; order is kept."""
    bytes_s: float = 0.0
    """The line's rate; 0 is as fast as it goes."""
    cut_after_bytes: int | None = None
    """Both ends are reset once so many bytes (of all connections together) went through; then it is None again."""
    lose_at: bytes | None = None
    """A chunk with this text is not passed on, and both ends are reset; then it is None again."""
    change: Change | None = None
    """Rewrites each chunk."""


@dataclass(eq=False)
class _Pair:
    """One client's connection and its counterpart."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """End both with RST, as a broken line does; unsent bytes are lost."""
        for writer in (self.client, self.target):
            _linger_not(writer)
            writer.transport.abort()
        self.over.set()


class Proxy:
    """Listens on `port` of 127.0.0.1 and connects to the target; made by `proxy`."""

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1", port: int | None = None) -> None:
        self.port = port or free_port()
        self.host = "127.0.0.1"
        self.target = (target_host, target_port)
        self.up = Faults()
        self.down = Faults()
        self.connections = 0
        """Accepted so far."""
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        """Bytes passed on so far."""
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._serving = 0
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def open_connections(self) -> int:
        return len(self._pairs)

    async def start(self) -> None:
        """Listen (again)."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)

    def refuse(self) -> None:
        """Stop listening: new connections are refused, those that exist stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        for pair in list(self._pairs):
            pair.reset()

    def stall(self) -> None:
        """Pass nothing on, but keep connections: a line that went silent."""
        self._flowing.clear()

    def flow(self) -> None:
        """End a stall."""
        self._flowing.set()

    def half_close(self, direction: Direction) -> None:
        """Send FIN in this direction on every connection; the other one goes on."""
        for pair in list(self._pairs):
            writer = pair.target if direction == "up" else pair.client
            with suppress(OSError, NotImplementedError):
                writer.write_eof()

    async def stop(self) -> None:
        self.flow()
        self.refuse()
        self.cut()
        await until(
            lambda: not self._serving, deadline_s=CLOSING_S, what="the end of the proxy's connections"
        )

    # --- one connection -----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            await self._serve_pair(_Pair(writer, far_writer), reader, far_reader)
        except OSError:
            writer.transport.abort()
        finally:
            self._serving -= 1

    async def _serve_pair(
        self, pair: _Pair, reader: asyncio.StreamReader, far_reader: asyncio.StreamReader
    ) -> None:
        self._pairs.add(pair)
        try:
            await self._both_ways(pair, reader, far_reader)
        finally:
            self._pairs.discard(pair)
            ends = (pair.client, pair.target)
            for end in ends:
                end.close()
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)

    async def _both_ways(
        self, pair: _Pair, reader: asyncio.StreamReader, far_reader: asyncio.StreamReader
    ) -> None:
        ways = asyncio.gather(
            self._pass_on("up", reader, pair.target, pair),
            self._pass_on("down", far_reader, pair.client, pair),
        )
        over = asyncio.create_task(pair.over.wait(), name="proxy.over")
        try:
            ends: list[asyncio.Future[Any]] = [ways, over]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ways.cancel()
            over.cancel()
            await asyncio.gather(ways, over, return_exceptions=True)

    async def _pass_on(
        self, way: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair
    ) -> None:
        """Until the end of the stream, which is passed on as a half-close."""
        faults = self.up if way == "up" else self.down
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if not await self._one(way, faults, chunk, writer):
                    pair.reset()
                    return
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            pair.reset()

    async def _one(self, way: Direction, faults: Faults, chunk: bytes, writer: asyncio.StreamWriter) -> bool:
        """Pass one chunk on; false when the line breaks here."""
        await self._flowing.wait()
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        if faults.bytes_s:
            await asyncio.sleep(len(chunk) / faults.bytes_s)
        if faults.lose_at is not None and faults.lose_at in chunk:
            faults.lose_at = None
            return False
        if faults.change is not None:
            chunk = await faults.change(chunk)
        whole = len(chunk)
        if faults.cut_after_bytes is not None:
            chunk = chunk[: faults.cut_after_bytes]
            faults.cut_after_bytes -= len(chunk)
        writer.write(chunk)
        await writer.drain()
        self.passed[way] += len(chunk)
        if faults.cut_after_bytes == 0 or len(chunk) < whole:
            faults.cut_after_bytes = None
            return False
        return True


def _linger_not(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@asynccontextmanager
async def proxy(target_port: int, *, target_host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """A listening proxy before a server."""
    made = Proxy(target_port, target_host=target_host)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
