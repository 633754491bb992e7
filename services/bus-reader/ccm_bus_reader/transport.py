"""Bytes to and from a serial port or a TCP connection, with the moment of every reception.

Knows no frames. Opens once; who owns it opens it again. `serialx` opens and configures serial ports (in a thread,
exclusive, low latency); it hands received bytes straight to `data_received`, so it is not in the way of timing.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from ccm_bus_reader.rs485 import configure
from ccm_contracts.config.field import Rs485
from ccm_kit.clock import Clock
from ccm_kit.errors import UnavailableError

OPEN_S: Final = 3.0
"""Longest wait for a port or a host to open."""
CLOSE_S: Final = 1.0
MOST_RECEIVED: Final = 4096
"""Bytes kept when nobody takes them: noise; the oldest go."""
KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""s, s, probes: a host that vanished is noticed after 25 s of idle link."""
UNACKNOWLEDGED_MS: Final = 15_000
"""A host that takes no bytes for so long is gone; without this the kernel would try for a quarter of an hour. A unit
that is dead behind a living gateway does not count: the gateway itself acknowledges."""
PTY_PREFIX: Final = "/dev/pts/"


TCP_CHAR_S: Final = 1e-6
"""A byte on a network; next to nothing."""


def char_s(baudrate: int, character: str) -> float:
    """Seconds of one character on the wire: start, data, parity and stop bits of a format such as 8N1."""
    data, parity, stop = int(character[0]), character[1], int(character[2])
    return (1 + data + (parity != "N") + stop) / baudrate


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial line at `path`; `format` is data bits, parity, stop bits: 8N1."""

    path: str
    baudrate: int = 9600
    format: str = "8N1"
    rs485: Rs485 | None = None
    """None: not a port whose driver could switch a transceiver."""

    @property
    def char_s(self) -> float:
        return char_s(self.baudrate, self.format)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class TcpHost:
    """A TCP connection; `char_s` is that of the serial line behind a serial server."""

    host: str
    port: int = 502
    char_s: float = TCP_CHAR_S

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Endpoint = SerialPort | TcpHost


class Transport(asyncio.Protocol):
    """One endpoint. `received` grows until somebody clears it; one task waits at a time."""

    def __init__(self, endpoint: Endpoint, clock: Clock, on_lost: Callable[[], None] = lambda: None) -> None:
        self.endpoint = endpoint
        self.received = bytearray()
        self.first_rx = 0.0
        """When the first byte of `received` came (monotonic)."""
        self.last_rx = 0.0
        """When the newest byte came (monotonic)."""
        self.tx_end = 0.0
        """When the last byte that was written has left the wire."""
        self.notice: str | None = None
        """What an operator should know of the open port; None when all is as wanted."""
        self.lost: str | None = "not opened yet"
        """Why it is closed; None while it is open."""
        self.route: Callable[[bytes], None] | None = None
        """Takes what is received instead, where several lanes share the connection."""
        self._clock = clock
        self._on_lost = on_lost
        self._link: asyncio.Transport | None = None
        self._news: asyncio.Future[None] | None = None
        self._until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self.lost is None

    async def open(self) -> None:
        """Raises `UnavailableError` saying which endpoint, what, and what to do."""
        self.received.clear()
        self._closed.clear()
        try:
            async with asyncio.timeout(OPEN_S):
                await (self._open_serial() if isinstance(self.endpoint, SerialPort) else self._open_tcp())
        except (OSError, TimeoutError) as err:
            self.lost = _reason(self.endpoint, err)
            raise UnavailableError(f"{self.endpoint}: {self.lost}") from err

    async def reopened(self) -> bool:
        """Connect again, at once, to a host that hung up; False where it did not, or does not take it."""
        if not isinstance(self.endpoint, TcpHost) or self.lost not in HANG_UPS:
            return False
        await self.close()
        try:
            await self.open()
        except UnavailableError:
            return False
        return True

    async def _open_serial(self) -> None:
        assert isinstance(self.endpoint, SerialPort)
        try:
            await self._connect_serial(self.endpoint, self.endpoint.format)
        except OSError as err:
            # A pseudo-terminal has no parity and refuses to be told one; a real port must not be misconfigured.
            is_pty = os.path.realpath(self.endpoint.path).startswith(PTY_PREFIX)  # noqa: ASYNC240 - it was just opened
            if err.errno != errno.EINVAL or not is_pty or self.endpoint.format == "8N1":
                raise
            await self._connect_serial(self.endpoint, "8N1")

    async def _connect_serial(self, port: SerialPort, character: str) -> None:
        import serialx  # only where there is a serial line: 2 MB

        loop = asyncio.get_running_loop()
        link, _ = await serialx.create_serial_connection(
            loop,
            lambda: self,
            port.path,
            port.baudrate,
            parity=serialx.Parity(character[1]),
            stopbits=serialx.StopBits(int(character[2])),
            byte_size=int(character[0]),
            exclusive=True,
        )
        self.notice = configure(link.get_extra_info("serial").fileno(), port.rs485) if port.rs485 else None

    async def _open_tcp(self) -> None:
        assert isinstance(self.endpoint, TcpHost)
        loop = asyncio.get_running_loop()
        link, _ = await loop.create_connection(lambda: self, self.endpoint.host, self.endpoint.port)
        sock: socket.socket = link.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (*KEEPALIVE, ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def write(self, data: bytes, char_s: float) -> None:
        """Send now; `tx_end` is then known. Raises `UnavailableError` when the link is gone."""
        if self._link is None or self.lost is not None:
            raise UnavailableError(f"{self.endpoint}: {self.lost}")
        try:
            self._link.write(data)
        except OSError as err:
            self.note_lost(_reason(self.endpoint, err))
            raise UnavailableError(f"{self.endpoint}: {self.lost}") from err
        self.tx_end = self._clock.monotonic() + len(data) * char_s

    async def wait(self, until: float) -> bool:
        """Returns when bytes came, when the link is lost, or at `until` (monotonic); False if that has passed."""
        left_s = until - self._clock.monotonic()
        if left_s <= 0:
            return False
        if self.lost is not None:
            return True
        self._news = asyncio.get_running_loop().create_future()
        self._until = until
        if self._alarm is None or until < self._alarm_at:
            self._set_alarm(left_s)
        try:
            await self._news
        finally:
            self._news = None
        return True

    def _set_alarm(self, left_s: float) -> None:
        """One timer serves many waits: most end before it, and a timer for each would cost as much as a frame."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(left_s, self._on_alarm)
        self._alarm_at = self._until

    def _on_alarm(self) -> None:
        self._alarm = None
        if self._news is None:
            return
        left_s = self._until - self._clock.monotonic()
        if left_s > 0:
            self._set_alarm(left_s)
        else:
            self._tell()

    async def close(self, reason: str = "was closed") -> None:
        """Ends the link and waits until the port is free."""
        self.note_lost(reason)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        link, self._link = self._link, None
        if link is None:
            return
        link.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._closed.wait()
        except TimeoutError:
            link.abort()

    # --- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = cast(asyncio.Transport, transport)
        self.lost = None

    def data_received(self, data: bytes) -> None:
        if self.route is not None:
            self.route(data)
            return
        self.last_rx = self._clock.monotonic()
        if not self.received:
            self.first_rx = self.last_rx
        self.received += data
        if len(self.received) > MOST_RECEIVED:
            del self.received[:-MOST_RECEIVED]
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self.note_lost(_reason(self.endpoint, exc) if exc else HUNG_UP)

    def note_lost(self, reason: str) -> None:
        """It cannot be used any more; who waits is told."""
        if self.lost is None:
            self.lost = reason
            self._tell()
            self._on_lost()

    def _tell(self) -> None:
        news = self._news
        if news is not None and not news.done():
            news.set_result(None)


HUNG_UP: Final = "was closed by the far end"
_REASONS: Final = {
    errno.ENOENT: "no such path; is the adapter plugged in?",
    errno.EACCES: "no permission; the user must be in the group that owns the port (dialout)",
    errno.EPERM: "no permission; the user must be in the group that owns the port (dialout)",
    errno.EBUSY: "is in use by another program",
    errno.ENOTTY: "is not a serial port",
    errno.ENXIO: "no such device; is the adapter plugged in?",
    errno.ENODEV: "no such device; is the adapter plugged in?",
    errno.EIO: "the device went away",
    errno.EISDIR: "is not a serial port",
    errno.EINVAL: "the port refuses its baud rate or format",
    errno.ECONNREFUSED: "the connection is refused; is the port number right?",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EPIPE: HUNG_UP,
    errno.ECONNRESET: "the connection was reset",
}
HANG_UPS: Final = (HUNG_UP, _REASONS[errno.ECONNRESET])


def _reason(endpoint: Endpoint, err: BaseException) -> str:
    """What an operator can do about it, in a few words."""
    if isinstance(err, socket.gaierror):
        return "the host name is unknown"
    number = err.errno if isinstance(err, OSError) else None
    if isinstance(err, TimeoutError) and number is None:
        return f"does not open within {OPEN_S:g} s"
    if number == errno.ENOTTY and isinstance(endpoint, TcpHost):
        return "the connection failed"
    if number in _REASONS:
        return _REASONS[number]
    return os.strerror(number) if number else str(err)
