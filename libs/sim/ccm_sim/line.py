"""A serial line: a pseudo-terminal that passes bytes at the pace of a UART, with devices at its far end.

Timing: a request of n bytes that was written at t occupies the wire until t + n characters; the reply begins one
turnaround later and reaches the master in chunks of a UART's FIFO (16 bytes), each when its last byte would have
arrived. Moments come from one schedule per reply, so that lateness of one chunk does not move the next.
"""

import contextlib
import os
import re
import termios
import time
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from ccm_sim import modbus
from ccm_sim.faults import Verdict, flipped, verdict
from ccm_sim.instrument import Device
from ccm_sim.reactor import Reactor, Timer

FIFO_BYTES = 16
"""Of a 16550 UART."""

ABANDONED_S = 0.05
"""After this pause the rest of an incomplete request is no longer waited for: longer than any pause between two
write calls of one frame, shorter than any reply timeout."""

_FORMAT = re.compile(r"([78])([NEO])([12])")


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed and character format of a line, such as 9600 and "8N1"."""

    baudrate: int = 9600
    format: str = "8N1"

    def __post_init__(self) -> None:
        if self.baudrate < 50:
            raise ValueError(f"baudrate: {self.baudrate} is below 50")
        if not _FORMAT.fullmatch(self.format):
            raise ValueError(f"format: {self.format!r} is not like 8N1, 8E1, 8N2 or 7E1")

    @property
    def char_s(self) -> float:
        """Time of one character: start bit, data bits, parity bit, stop bits."""
        bits, parity, stop = int(self.format[0]), self.format[1], int(self.format[2])
        return (1 + bits + (parity != "N") + stop) / self.baudrate

    @property
    def silence_s(self) -> float:
        """Silence that must precede a frame: 3.5 characters, fixed at 1.75 ms for high speeds (Serial Line 2.5.1.1)."""
        return 0.00175 if self.baudrate >= 19200 else 3.5 * self.char_s

    def chunks(self, start: float, frame: bytes) -> list[tuple[float, bytes]]:
        """(moment, bytes) of each FIFO-full of a frame whose first bit is sent at `start`."""
        return [
            (start + min(at + FIFO_BYTES, len(frame)) * self.char_s, frame[at : at + FIFO_BYTES])
            for at in range(0, len(frame), FIFO_BYTES)
        ]


DEFAULT_PACE = Pace()
"""The lines of a CcMaster (manual table 2)."""


@dataclass(slots=True)
class LineStats:
    """Counts since `since` (time.monotonic()). `wire_busy_s` is requests, turnarounds and replies.

    `collisions` are requests that came while a reply was on the wire; `bad_frames` had a wrong CRC or no end.
    `late_s` (sum) and `max_late_s` are the line's own fault: by how much replies ended after their moment. As a peer of
    measurements it is good while `late_s` is a small part of `wire_busy_s`.
    """

    since: float = field(default_factory=time.monotonic)
    requests: int = 0
    replies: int = 0
    wire_busy_s: float = 0.0
    silence_violations: int = 0
    min_silence_s: float | None = None
    collisions: int = 0
    bad_frames: int = 0
    late_s: float = 0.0
    max_late_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Sending:
    """A reply on its way: from the first bit to the last; `is_hit` when a request ran into it."""

    start: float
    end: float
    is_hit: bool = False


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
        self.pace = pace
        self.link = link
        self.devices = tuple(devices)
        self.stats = LineStats()
        self._reactor = reactor
        self._random = Random(seed)
        self._is_strict = is_strict
        self._master = self._slave = -1
        self._received = b""
        self._received_until = 0.0
        self._quiet_since: float | None = None
        self._abandon: Timer | None = None
        self._sending: list[_Sending] = []

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
        self.stats = LineStats()

    def _on_bytes(self) -> None:
        now = time.monotonic()
        data = os.read(self._master, 4096)
        if self._is_strict and not self._is_right_rate():
            return
        if self._hits_reply(now):
            self.stats.collisions += 1
            self._received = b""
            return
        if not self._received:
            self._note_silence(now)
            self._received_until = now
        self._received += data
        self._received_until = max(self._received_until, now) + len(data) * self.pace.char_s
        self._take_requests()

    def _is_right_rate(self) -> bool:
        """A pseudo-terminal remembers the rate that its user set, but neither parity nor bits."""
        return bool(termios.tcgetattr(self._slave)[5] == getattr(termios, f"B{self.pace.baudrate}", None))

    def _hits_reply(self, now: float) -> bool:
        hit = [sending for sending in self._sending if sending.start < now]
        for sending in hit:
            sending.is_hit = True
        return bool(hit)

    def _note_silence(self, now: float) -> None:
        if self._quiet_since is None:
            return
        silence_s = max(0.0, now - self._quiet_since)
        stats = self.stats
        stats.min_silence_s = (
            silence_s if stats.min_silence_s is None else min(stats.min_silence_s, silence_s)
        )
        stats.silence_violations += silence_s < self.pace.silence_s

    def _take_requests(self) -> None:
        if self._abandon is not None:
            self._abandon.cancel()
            self._abandon = None
        length = modbus.rtu_request_length(self._received)
        if length is None or len(self._received) < length:
            moment = self._received_until + ABANDONED_S
            self._abandon = self._reactor.call_at(moment, self._on_abandoned)
            return
        frame, rest = self._received[:length], self._received[length:]
        self._received = b""
        self.stats.wire_busy_s += len(frame) * self.pace.char_s
        self.stats.bad_frames += bool(rest)
        self._quiet_since = self._received_until
        if modbus.is_whole(frame) and not rest:
            self._on_request(frame)
        elif not rest:
            self.stats.bad_frames += 1

    def _on_abandoned(self) -> None:
        """A pause ends what has no length of its own: an unknown function, or noise."""
        frame, self._received = self._received, b""
        self._quiet_since = self._received_until
        if modbus.is_whole(frame):
            self._on_request(frame)
        else:
            self.stats.bad_frames += 1

    def _on_request(self, frame: bytes) -> None:
        self.stats.requests += 1
        unit = frame[0]
        addressed = [
            device
            for device in self.devices
            if (device.hears(unit) or unit == modbus.BROADCAST) and not device.faults.dead
        ]
        for device in addressed:
            moment = self._received_until + device.turnaround_s
            respond = partial(self._respond, device, frame, moment)
            self._reactor.call_at(moment, respond)

    def _respond(self, device: Device, frame: bytes, moment: float) -> None:
        """Executes the request; sends the reply."""
        pdu = modbus.answer(frame[1:-2], device)
        fate = verdict(device.faults, self._random)
        if frame[0] == modbus.BROADCAST or fate.is_lost:
            return
        reply = self._as_sent(modbus.rtu(frame[0], pdu), fate)
        self.stats.wire_busy_s += device.turnaround_s + len(reply) * self.pace.char_s
        self._send(reply, moment + fate.delay_s)

    def _as_sent(self, reply: bytes, fate: Verdict) -> bytes:
        if fate.is_from_other:
            reply = modbus.rtu(reply[0] % 247 + 1, reply[1:-2])
        return flipped(reply, self._random) if fate.is_corrupt else reply

    def _send(self, reply: bytes, start: float) -> None:
        """Two devices of one address that send at the same time garble each other's replies."""
        sending = _Sending(start, start + len(reply) * self.pace.char_s)
        for other in self._sending:
            if other.start < sending.end and start < other.end:
                other.is_hit = sending.is_hit = True
        self._sending.append(sending)
        chunks = self.pace.chunks(start, reply)
        for index, (moment, chunk) in enumerate(chunks):
            is_last = index == len(chunks) - 1
            write = partial(self._write, sending, chunk, moment, is_last=is_last)
            self._reactor.call_at(moment, write, is_precise=is_last)

    def _write(self, sending: _Sending, chunk: bytes, moment: float, *, is_last: bool) -> None:
        if self._master < 0:
            return
        if sending.is_hit:
            chunk = bytes(byte ^ 0x5A for byte in chunk)
        if is_last:
            self._sending.remove(sending)
            self.stats.replies += 1
            self._quiet_since = time.monotonic()
            self.stats.late_s += self._quiet_since - moment
            self.stats.max_late_s = max(self.stats.max_late_s, self._quiet_since - moment)
        with contextlib.suppress(BlockingIOError):  # nobody reads: bytes on a wire are gone too
            os.write(self._master, chunk)
