"""The newest frames of one line, each with its direction, moment and bytes, and what it means. Pure.

A ring with a bound: the oldest frame goes. Modbus carries no secrets, so frames are kept as they were. What a frame is
made of is kept as it came, twice in each transaction; all else is found out when somebody looks.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from ccm_bus_reader.exceptions import exception_text
from ccm_contracts.verbs.bus_reader import MOST_FRAMES

SHOWN_REGISTERS: Final = 8
"""Registers written out in a frame's meaning."""

Direction = Literal["tx", "rx"]
Kind = Literal["request", "echo", "answer", "exception", "foreign", "corrupt", "noise"]
"""`echo`: the request, heard by the adapter that sent it; `foreign`: a sound frame that nobody waits for, late or not;
`noise`: bytes that make no frame."""
Tap = Callable[[Direction, float, bytes, Kind], None]
"""Told of every frame: direction, moment (monotonic; tx: its first byte was written, rx: its last byte came), bytes,
and what it is."""
NAMES: Final = {
    1: "coils",
    2: "discrete inputs",
    3: "holding registers",
    4: "input registers",
    5: "coil",
    6: "register",
    15: "coils",
    16: "registers",
}
READS: Final = (1, 2, 3, 4)
REGISTER_READS: Final = (3, 4)
MBAP_BYTES: Final = 7


@dataclass(frozen=True, slots=True)
class Frame:
    """What went over the line at once."""

    number: int
    ts: datetime
    """Of the last byte."""
    direction: Direction
    data: bytes
    kind: str


class Trace:
    """Of one line; numbers its frames from 1. 2000 frames are a minute of 9600 baud, and half a megabyte at most."""

    def __init__(
        self, utc_of: Callable[[float], datetime], *, is_modbus_tcp: bool, most: int = MOST_FRAMES
    ) -> None:
        """`utc_of`: the UTC time of a monotonic moment."""
        self.is_modbus_tcp = is_modbus_tcp
        self._utc_of = utc_of
        self._frames: deque[tuple[Direction, float, bytes, str]] = deque(maxlen=most)
        self._number = 0

    def add(self, direction: Direction, at: float, data: bytes, kind: str) -> None:
        """A line's `Tap`."""
        self._number += 1
        self._frames.append((direction, at, data, kind))

    def meaning(self, frame: Frame) -> str:
        """What it says, in words; found out when somebody looks."""
        return meaning_of(frame.data, frame.kind, is_modbus_tcp=self.is_modbus_tcp)

    def after(self, number: int = 0) -> Iterator[Frame]:
        """The frames with greater numbers, oldest first."""
        first = self._number - len(self._frames) + 1
        for each, (direction, at, data, kind) in enumerate(self._frames, first):
            if each > number:
                yield Frame(each, self._utc_of(at), direction, data, kind)


def meaning_of(data: bytes, kind: str, *, is_modbus_tcp: bool) -> str:
    """What a frame says, in words: `unit 1: read holding registers 0...59`."""
    unit_and_pdu = data[MBAP_BYTES - 1 :] if is_modbus_tcp else data[:-2]
    if kind in ("noise", "corrupt", "garbled") or len(unit_and_pdu) < 3:
        return f"{len(data)} bytes, {'wrong check sum' if kind == 'corrupt' else 'not a frame'}"
    unit, pdu = unit_and_pdu[0], unit_and_pdu[1:]
    says = _request_in(pdu) if kind in ("request", "echo") else _reply_in(pdu)
    return f"unit {unit}: {says}" if unit else f"to all units: {says}"


def _request_in(pdu: bytes) -> str:
    function = pdu[0]
    if function not in NAMES or len(pdu) < 5:
        return f"function {function}"
    address, second = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if function in READS:
        return f"read {NAMES[function]} {_span(address, second)}"
    if function == 5:
        return f"write coil {address} = {int(second == 0xFF00)}"
    if function == 6:
        return f"write register {address} = {second}"
    return f"write {NAMES[function]} {_span(address, second)}{_words(pdu[6:]) if function == 16 else ''}"


def _reply_in(pdu: bytes) -> str:
    function = pdu[0]
    if function & 0x80:
        return exception_text(pdu[1])
    if function in REGISTER_READS:
        return f"{pdu[1] // 2} registers{_words(pdu[2:])}"
    if function in READS:
        return f"{pdu[1]} bytes of {NAMES[function]}"
    if function in NAMES and len(pdu) >= 5:
        return f"wrote {NAMES[function]} {int.from_bytes(pdu[1:3], 'big')}"
    return f"function {function}"


def _span(first: int, count: int) -> str:
    return str(first) if count <= 1 else f"{first}...{first + count - 1}"


def _words(data: bytes) -> str:
    words = [data[at : at + 2].hex().upper() for at in range(0, len(data) - 1, 2)]
    shown = " ".join(words[:SHOWN_REGISTERS])
    return f": {shown}{' ...' if len(words) > SHOWN_REGISTERS else ''}" if words else ""
