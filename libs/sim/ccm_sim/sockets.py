"""Stream sockets on the reactor: a listener and its connections.

Knows no protocol. A peer that does not read its answers is dropped, so that it cannot hold up the site.
"""

import contextlib
import socket
from collections.abc import Callable

from ccm_sim.reactor import Reactor

MAX_UNREAD_BYTES = 65536
"""A request that grows beyond this is not one."""


class Connection:
    """One peer. `received` is what it sent and nobody has taken yet."""

    def __init__(self, sock: socket.socket, reactor: Reactor, on_bytes: "OnBytes") -> None:
        sock.setblocking(False)
        self.received = b""
        self.is_open = True
        self._sock = sock
        self._reactor = reactor
        self._on_bytes = on_bytes
        reactor.add_reader(sock.fileno(), self._read)

    def send(self, data: bytes) -> None:
        """Sends all or drops the peer."""
        if not self.is_open:
            return
        try:
            if self._sock.send(data) != len(data):
                self.close()
        except OSError:
            self.close()

    def close(self) -> None:
        """Hangs up."""
        if self.is_open:
            self.is_open = False
            self._reactor.remove_reader(self._sock.fileno())
            self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(4096) if self.is_open else b""
        except OSError:
            data = b""
        if not data or len(self.received) > MAX_UNREAD_BYTES:
            self.close()
            return
        self.received += data
        self._on_bytes(self)


OnBytes = Callable[[Connection], None]


class Listener:
    """Accepts peers on a bound socket."""

    def __init__(self, sock: socket.socket, reactor: Reactor, on_bytes: OnBytes) -> None:
        self._sock = sock
        self._reactor = reactor
        self._on_bytes = on_bytes
        self._connections: list[Connection] = []
        sock.setblocking(False)
        sock.listen()
        reactor.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Hangs up on everybody."""
        self._reactor.remove_reader(self._sock.fileno())
        self._sock.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            peer, _ = self._sock.accept()
            self._connections = [known for known in self._connections if known.is_open]
            self._connections.append(Connection(peer, self._reactor, self._on_bytes))
