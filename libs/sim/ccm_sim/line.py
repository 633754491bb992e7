"""A serial line in real time: a pseudo-terminal that passes bytes at the pace of a UART, devices at its far end."""

import contextlib
import os
import termios
import tty
from collections.abc import Sequence
from pathlib import Path

from ccm_sim.instrument import Device
from ccm_sim.reactor import Reactor
from ccm_sim.wire import LineStats, Pace, Wire


class SerialLine:
    """One line; `open` and `close` and everything else run in the reactor's thread."""

    def __init__(
        self,
        pace: Pace,
        link: Path,
        devices: Sequence[Device],
        reactor: Reactor,
        seed: int,
        *,
        is_strict: bool = False,
    ) -> None:
        """`is_strict`: requests at another baud rate than the line's are not understood."""
        self.link = link
        self.wire = Wire(pace, devices, reactor, seed, self._write)
        self._reactor = reactor
        self._is_strict = is_strict
        self._master = self._slave = -1

    @property
    def stats(self) -> LineStats:
        """What happened since the last reset."""
        return self.wire.stats

    def open(self) -> None:
        """Makes the terminal and its link. The far end stays open here, so that a master may close and reopen."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self._master, False)
        temporary = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.ttyname(self._slave))
        temporary.replace(self.link)
        self._reactor.add_reader(self._master, self._on_bytes)

    def close(self) -> None:
        """Hangs up and takes the link away, unless it has become another's."""
        if self._master < 0:
            return
        self._reactor.remove_reader(self._master)
        with contextlib.suppress(OSError):
            if str(self.link.readlink()) == os.ttyname(self._slave):
                self.link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def reset_stats(self) -> None:
        """Begins to count anew."""
        self.wire.reset_stats()

    def _on_bytes(self) -> None:
        data = os.read(self._master, 4096)
        if not self._is_strict or self._is_right_rate():
            self.wire.take(data)

    def _is_right_rate(self) -> bool:
        """A pseudo-terminal remembers the rate that its user set, but neither parity nor bits."""
        baudrate = self.wire.pace.baudrate
        return bool(termios.tcgetattr(self._slave)[5] == getattr(termios, f"B{baudrate}", None))

    def _write(self, data: bytes) -> None:
        if self._master < 0:
            return
        with contextlib.suppress(BlockingIOError):  # nobody reads: bytes on a wire are gone too
            os.write(self._master, data)
