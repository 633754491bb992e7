"""Hosts in memory: what the engine opens by host and port leads to a simulated one in the same loop.

The seam is the loop's own `create_connection`. Everything above it is the engine's; below it, sockets and the kernel
are what the tests with real hosts are for.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final, Literal, Protocol

Mood = Literal["well", "refuses", "unreachable", "hung"]
"""`unreachable`: nobody answers an attempt to connect; `hung`: a connection is taken, and no byte goes either way."""
TRANSIT_S: Final = 0.0003


class Server(Protocol):
    """What is behind a host's port."""

    def take(self, data: bytes, link: "HostLink") -> None:
        """Somebody wrote these bytes."""

    def left(self, link: "HostLink") -> None:
        """It is closed."""


class _NoSocket:
    """Takes the options that a real socket is given."""

    def setsockopt(self, *_: object) -> None:
        """There is no kernel to be told."""


class Host:
    """One port of one host."""

    def __init__(self, server: Server, opened: Callable[[], None]) -> None:
        """`opened` is told of each connection."""
        self.mood: Mood = "well"
        self.links: list[HostLink] = []
        self.openings = 0
        self._server = server
        self._opened = opened

    async def connect(self, protocol: asyncio.Protocol) -> "HostLink":
        if self.mood == "unreachable":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(TRANSIT_S)
        if self.mood == "refuses":
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        link = HostLink(self, protocol)
        self.links.append(link)
        self.openings += 1
        self._opened()
        protocol.connection_made(link)
        return link

    def take(self, data: bytes, link: "HostLink") -> None:
        if self.mood == "well" and link in self.links:
            self._server.take(data, link)

    def cut(self, *, is_reset: bool) -> None:
        """Hang up on everybody, in good order or not."""
        err = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) if is_reset else None
        for link in tuple(self.links):
            link.end(err)

    def left(self, link: "HostLink") -> None:
        if link in self.links:
            self.links.remove(link)
            self._server.left(link)


class HostLink(asyncio.Transport):
    """The engine's end of one connection."""

    def __init__(self, host: Host, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": _NoSocket()})
        self._host = host
        self._protocol = protocol
        self._is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        asyncio.get_running_loop().call_later(TRANSIT_S, self._host.take, bytes(data), self)

    def deliver(self, data: bytes) -> None:
        """To the engine; nothing once it is over."""
        if not self._is_over and self._host.mood == "well":
            self._protocol.data_received(data)

    def end(self, err: OSError | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._host.left(self)
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, err)

    def close(self) -> None:
        self.end(None)

    def abort(self) -> None:
        self.end(None)

    def is_closing(self) -> bool:
        return self._is_over
