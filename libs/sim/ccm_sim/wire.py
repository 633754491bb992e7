"""What happens on the wire of a serial line: when bytes travel, which device answers, what spoils a reply.

Knows no file descriptor and no clock but the timers that it is given, so it runs on a pseudo-terminal in real time
(`line.py`) as well as in a simulated time.

Timing: a request of n bytes that was written at t occupies the wire until t + n characters; the reply begins one
turnaround later and reaches the master in chunks of a UART's FIFO (16 bytes), each when its last byte would have
arrived. Moments come from one schedule per reply, so that lateness of one chunk does not move the next.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol

from ccm_sim import modbus
from ccm_sim.faults import spoiled, verdict
from ccm_sim.instrument import Device

FIFO_BYTES = 16
"""Of a 16550 UART."""

ABANDONED_S = 0.05
"""After this pause the rest of an incomplete request is no longer waited for: longer than any pause between two
write calls of one frame, shorter than any reply timeout."""

_FORMAT = re.compile(r"([78])([NEO])([12])")


class Alarm(Protocol):
    """A call that was ordered."""

    def cancel(self) -> None:
        """Forget it."""


class Timers(Protocol):
    """Moments, in seconds from an arbitrary beginning."""

    def now(self) -> float:
        """The present one."""

    def call_at(self, moment: float, call: Callable[[], None], *, is_precise: bool = False) -> Alarm:
        """Calls once at that moment."""


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
    """Counts since `since`. `wire_busy_s` is requests, turnarounds and replies.

    `collisions` are requests that came while a reply was on the wire; `bad_frames` had a wrong CRC or no end.
    `late_s` (sum) and `max_late_s` are the line's own fault: by how much replies ended after their moment. As a peer of
    measurements it is good while `late_s` is a small part of `wire_busy_s`. `spoiled`: replies
    by device and by what was done to them; `garbled` ones ran into something.
    """

    since: float
    requests: int = 0
    replies: int = 0
    wire_busy_s: float = 0.0
    silence_violations: int = 0
    min_silence_s: float | None = None
    collisions: int = 0
    bad_frames: int = 0
    late_s: float = 0.0
    max_late_s: float = 0.0
    spoiled: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Sending:
    """A reply on its way: from the first bit to the last; `is_hit` when a request ran into it."""

    start: float
    end: float
    device: str | None = None
    is_hit: bool = False


class Wire:
    """One line; `take` the master's bytes, `put` gives it the devices'."""

    def __init__(
        self,
        pace: Pace,
        devices: Sequence[Device],
        timers: Timers,
        seed: int,
        put: Callable[[bytes], None],
    ) -> None:
        self.pace = pace
        self.devices = tuple(devices)
        self.is_cut = False
        """Whether no byte reaches anybody."""
        self.echoes = False
        """Whether the master's adapter hears what it sends."""
        self._timers = timers
        self.stats = LineStats(timers.now())
        self._put = put
        self._random = Random(seed)
        self._received = b""
        self._received_until = 0.0
        self._quiet_since: float | None = None
        self._abandon: Alarm | None = None
        self._sending: list[_Sending] = []

    def reset_stats(self) -> None:
        """Begins to count anew."""
        self.stats = LineStats(self._timers.now())

    def take(self, data: bytes) -> None:
        """The master wrote these bytes now."""
        now = self._timers.now()
        if self.echoes:
            for moment, chunk in self.pace.chunks(now, data):
                self._timers.call_at(moment, partial(self._hand_over, chunk))
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

    def disturb(self, noise: bytes) -> None:
        """These bytes of nobody are on the wire from now on."""
        self._send(noise, self._timers.now())

    def _hand_over(self, data: bytes) -> None:
        if not self.is_cut:
            self._put(data)

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
            self._abandon = self._timers.call_at(moment, self._on_abandoned)
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
        if self.is_cut:
            return
        unit = frame[0]
        addressed = [
            device
            for device in self.devices
            if (device.hears(unit) or unit == modbus.BROADCAST) and not device.faults.dead
        ]
        for device in addressed:
            moment = self._received_until + device.turnaround_s
            respond = partial(self._respond, device, frame, moment)
            self._timers.call_at(moment, respond)

    def _respond(self, device: Device, frame: bytes, moment: float) -> None:
        """Executes the request, unless an exception is answered to it; sends the reply."""
        fate = verdict(device.faults, self._random)
        pdu = frame[1:-2] if fate.exception_code is not None else modbus.answer(frame[1:-2], device)
        for name in fate.kinds:
            self._note_spoiled(device.id, name)
        if frame[0] == modbus.BROADCAST or fate.is_lost:
            return
        reply = spoiled(frame[0], pdu, fate, self._random)
        self.stats.wire_busy_s += device.turnaround_s + len(reply) * self.pace.char_s
        self._send(reply, moment + fate.delay_s, device.id)

    def _note_spoiled(self, device: str, how: str) -> None:
        counts = self.stats.spoiled.setdefault(device, {})
        counts[how] = counts.get(how, 0) + 1

    def _send(self, reply: bytes, start: float, device: str | None = None) -> None:
        """Two devices of one address that send at the same time garble each other's replies."""
        sending = _Sending(start, start + len(reply) * self.pace.char_s, device)
        for other in self._sending:
            if other.start < sending.end and start < other.end:
                other.is_hit = sending.is_hit = True
        self._sending.append(sending)
        chunks = self.pace.chunks(start, reply)
        for index, (moment, chunk) in enumerate(chunks):
            is_last = index == len(chunks) - 1
            write = partial(self._write, sending, chunk, moment, is_last=is_last)
            self._timers.call_at(moment, write, is_precise=is_last)

    def _write(self, sending: _Sending, chunk: bytes, moment: float, *, is_last: bool) -> None:
        if sending.is_hit:
            chunk = bytes(byte ^ 0x5A for byte in chunk)
        if is_last:
            self._sending.remove(sending)
            if sending.is_hit and sending.device is not None:
                self._note_spoiled(sending.device, "garbled")
            self.stats.replies += 1
            self._quiet_since = self._timers.now()
            self.stats.late_s += self._quiet_since - moment
            self.stats.max_late_s = max(self.stats.max_late_s, self._quiet_since - moment)
        self._hand_over(chunk)
