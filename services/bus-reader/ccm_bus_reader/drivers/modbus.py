"""Modbus requests to bytes and received bytes to answers, framed by pymodbus; the only file that imports it.

Sans I/O: does not open, wait or retry, and decodes no values. Why not pymodbus' clients: they take late replies for the
next answer and keep no silence between frames.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as registers

from ccm_bus_reader.drivers.mbap import tcp_frame

BIT_READS: Final = (1, 2)
READS: Final = (1, 2, 3, 4)
REGISTER_READS: Final = (3, 4)
BROADCAST: Final = 0
"""The unit that all units of a serial line hear and none answers."""
EXCEPTION_FRAME: Final = 5
WRITE_ECHO_FRAME: Final = 8
"""Bytes of an RTU exception and of the echo of functions 5, 6, 15 and 16."""
MOST_FRAMES: Final = 1000
"""Built frames that are kept, of some 30 bytes each."""
GLITCHES: Final = (0x00, 0xFF)
MOST_GLITCHES: Final = 2
"""What a bus that changes direction shows for a character; as many may surround a frame."""

Kind = Literal["more", "echo", "answer", "exception", "foreign", "corrupt", "broken"]


@dataclass(frozen=True, slots=True)
class Request:
    """One transaction: `values` for the functions that write (coils as 0 or 1), else `count` to read."""

    unit: int
    function: int
    address: int
    count: int = 1
    values: tuple[int, ...] = ()

    @property
    def data_bytes(self) -> int | None:
        """The byte count that the reply must have; None for a write, whose reply is an echo."""
        if self.function in REGISTER_READS:
            return 2 * self.count
        return (self.count + 7) // 8 if self.function in BIT_READS else None

    @property
    def reply_bytes(self) -> int:
        """Length of the right reply as an RTU frame."""
        return WRITE_ECHO_FRAME if self.data_bytes is None else EXCEPTION_FRAME + self.data_bytes


class Parsed(NamedTuple):
    """What the received bytes are, seen from a request.

    more: not whole yet, or not a frame. echo: the request itself, `used` bytes, from an adapter that hears what it
    sends. answer: `words` (16-bit words, or 0/1 for coils). exception: `code`.
    foreign: a sound frame that is not the answer, of `unit`, `function` and `length`; `used` bytes belong to it.
    corrupt: as long as the answer, with a wrong check sum. broken: the stream cannot be followed any more.
    """

    kind: Kind
    words: tuple[int, ...] = ()
    code: int = 0
    unit: int = 0
    function: int = 0
    length: int = 0
    used: int = 0


MORE: Final = Parsed("more")
CORRUPT: Final = Parsed("corrupt")
BROKEN: Final = Parsed("broken")


class Framing(Protocol):
    """RTU or Modbus TCP frames."""

    echoes: bool
    """Whether the adapter hears what it sends, by the newest register read."""

    def encode(self, request: Request) -> bytes:
        """The bytes to send; a new transaction for framings that number them."""

    def parse(self, received: bytes, request: Request) -> Parsed:
        """What `received` is, seen from the request that was encoded last."""


def _pdu(request: Request) -> ModbusPDU:
    unit, address, count = request.unit, request.address, request.count
    match request.function:
        case 1:
            pdu: ModbusPDU = bits.ReadCoilsRequest(dev_id=unit, address=address, count=count)
        case 2:
            pdu = bits.ReadDiscreteInputsRequest(dev_id=unit, address=address, count=count)
        case 3:
            pdu = registers.ReadHoldingRegistersRequest(dev_id=unit, address=address, count=count)
        case 4:
            pdu = registers.ReadInputRegistersRequest(dev_id=unit, address=address, count=count)
        case 5:
            pdu = bits.WriteSingleCoilRequest(dev_id=unit, address=address, bits=[bool(request.values[0])])
        case 6:
            pdu = registers.WriteSingleRegisterRequest(
                dev_id=unit, address=address, registers=list(request.values)
            )
        case 15:
            coils = [bool(value) for value in request.values]
            pdu = bits.WriteMultipleCoilsRequest(dev_id=unit, address=address, bits=coils)
        case 16:
            pdu = registers.WriteMultipleRegistersRequest(
                dev_id=unit, address=address, registers=list(request.values)
            )
        case other:
            raise ValueError(f"function {other} is not supported")
    return pdu


def _judge(decoder: DecodePDU, unit: int, pdu: bytes, request: Request, used: int) -> Parsed:
    """A sound frame's PDU, seen from the request."""
    function = pdu[0]
    if unit == request.unit and function == request.function:
        words = _words(decoder, pdu, request)
        if words is not None:
            return Parsed("answer", words=words, used=used)
    elif unit == request.unit and function == request.function | 0x80 and len(pdu) == 2:
        return Parsed("exception", code=pdu[1], used=used)
    return Parsed("foreign", unit=unit, function=function & 0x7F, length=len(pdu) + 3, used=used)


def _words(decoder: DecodePDU, pdu: bytes, request: Request) -> tuple[int, ...] | None:
    """What a reply of the right unit and function holds; None when it answers another request."""
    size = request.data_bytes
    if size is None:
        return () if pdu[1:5] == _echo(request) else None
    if len(pdu) != 2 + size or pdu[1] != size:
        return None
    if request.function in REGISTER_READS:  # pymodbus' own way takes a fifth of a whole TCP transaction
        return _words_of(request.count).unpack_from(pdu, 2)
    reply = decoder.decode(pdu)
    return None if reply is None else tuple(int(bit) for bit in reply.bits[: request.count])


@lru_cache(maxsize=256)
def _words_of(count: int) -> struct.Struct:
    return struct.Struct(f">{count}H")


def _echo(request: Request) -> bytes:
    """The four bytes that the reply to a write repeats: address and value, or address and count."""
    if request.function == 5:
        second = 0xFF00 if request.values[0] else 0
    elif request.function == 6:
        second = request.values[0]
    else:
        second = len(request.values)
    return request.address.to_bytes(2, "big") + second.to_bytes(2, "big")


class _Frames:
    """Frames that were built lately: a line asks the same few hundred questions again and again."""

    def __init__(self, framer: FramerRTU | FramerSocket) -> None:
        self._framer = framer
        self._built: dict[Request, bytes] = {}

    def of(self, request: Request) -> bytes:
        frame = self._built.get(request)
        if frame is None:
            if len(self._built) >= MOST_FRAMES:
                self._built.clear()
            frame = self._built[request] = bytes(self._framer.buildFrame(_pdu(request)))
        return frame


class Rtu:
    """RTU frames, on a serial line or through a serial server.

    A half-duplex adapter whose receiver stays on hands each request back before its reply. A read of registers tells:
    its request has eight bytes, and no reply to it has. A write's reply may be the same bytes as the write, so an echo
    is expected there if the reads had one.
    """

    def __init__(self) -> None:
        self.echoes = False
        self._asked: Request | None = None
        self._sent = b""
        """The frame of `_asked` while it may still come back."""
        self._decoder = DecodePDU(is_server=False)
        self._framer = FramerRTU(self._decoder)
        self._frames = _Frames(self._framer)

    def encode(self, request: Request) -> bytes:
        self._asked, self._sent = request, self._frames.of(request)
        return self._sent

    def parse(self, received: bytes, request: Request) -> Parsed:
        """Finds a frame at the start, or behind up to `MOST_GLITCHES` characters of a bus changing direction."""
        is_telling = request.function in REGISTER_READS
        if self._sent and request is self._asked and (is_telling or self.echoes):
            if received.startswith(self._sent):
                used, self._sent, self.echoes = len(self._sent), b"", True
                return Parsed("echo", used=used)
            if self._sent.startswith(received):
                return MORE
        parsed = self._found(received, request)
        if parsed.kind == "answer" and is_telling:
            self.echoes = not self._sent
        return parsed

    def _found(self, received: bytes, request: Request) -> Parsed:
        start = 0
        while start < min(MOST_GLITCHES, len(received)) and received[start] in GLITCHES:
            start += 1
        return self._parse(received[start:], request, start)

    def _parse(self, frame: bytes, request: Request, skipped: int) -> Parsed:
        length = _rtu_length(frame)
        if length is None or len(frame) < length:
            return MORE
        rest = frame[length:]
        is_sound = len(rest) <= MOST_GLITCHES and all(byte in GLITCHES for byte in rest)
        _, unit, _, pdu = self._framer.decode(frame[:length])
        if pdu:
            parsed = _judge(self._decoder, unit, bytes(pdu), request, skipped + length)
            return parsed if is_sound or parsed.kind == "foreign" else CORRUPT
        is_ours = frame[0] == request.unit and length == request.reply_bytes
        return CORRUPT if is_ours else MORE


def _rtu_length(frame: bytes) -> int | None:
    """Length of the reply frame that starts here, by its own header; None while it cannot be told."""
    if len(frame) < 3:
        return None
    function = frame[1]
    if function & 0x80:
        return EXCEPTION_FRAME
    if function in READS:
        return EXCEPTION_FRAME + frame[2]
    return WRITE_ECHO_FRAME if function in (5, 6, 15, 16) else None


def _numbers() -> Iterator[int]:
    while True:
        yield from range(1, 0x10000)


class Tcp:
    """Modbus TCP frames: numbered, so that a late reply is known as such."""

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        """`numbers`: of its transactions, where several share a connection."""
        self.numbers = _numbers() if numbers is None else numbers
        self.echoes = False
        self._decoder = DecodePDU(is_server=False)
        self._framer = FramerSocket(self._decoder)
        self._frames = _Frames(self._framer)
        self._transaction = 0

    def encode(self, request: Request) -> bytes:
        self._transaction = next(self.numbers)
        return self._transaction.to_bytes(2, "big") + self._frames.of(request)[2:]

    def parse(self, received: bytes, request: Request) -> Parsed:
        whole = tcp_frame(received)
        if not whole:
            return BROKEN if whole is None else MORE
        _, unit, transaction, pdu = self._framer.decode(received[:whole])
        if transaction != self._transaction:
            return Parsed("foreign", unit=unit, function=pdu[0] & 0x7F, length=len(pdu) + 3, used=whole)
        return _judge(self._decoder, unit, bytes(pdu), request, whole)
