"""Modbus TCP as a server sees it: received bytes to requests, answers to bytes. Pure.

Sources: MODBUS Application Protocol V1.1b3 (functions, limits, exceptions), Messaging on TCP/IP V1.0b (header).
"""

from dataclasses import dataclass
from typing import Final

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4
BUSY: Final = 6
NO_PATH: Final = 10
NO_REPLY: Final = 11

BIT_READS: Final = (1, 2)
READS: Final = (1, 2, 3, 4)
WRITES: Final = (5, 6, 15, 16)
MOST_REGISTERS: Final = 125
MOST_BITS: Final = 2000
MOST_WRITTEN: Final = 123
MOST_WRITTEN_BITS: Final = 1968
HEADER: Final = 7
LONGEST: Final = 254
"""Unit and PDU (Messaging on TCP/IP V1.0b, 4.1)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `words` of a write: registers, or 0 and 1 for coils."""

    transaction: int
    unit: int
    function: int
    address: int = 0
    count: int = 1
    words: tuple[int, ...] = ()
    refusal: int | None = None
    """The exception that answers it, where it cannot be a request."""

    @property
    def is_read(self) -> bool:
        return self.function in READS


class NotModbusError(ValueError):
    """The stream cannot be followed any more: close the connection."""


def next_request(received: bytes | bytearray) -> tuple[Asked, int] | None:
    """The first request and the bytes that it takes; None while it is not whole. Raises `NotModbusError`."""
    if len(received) < HEADER:
        return None
    transaction, length = int.from_bytes(received[:2], "big"), int.from_bytes(received[4:6], "big")
    if any(received[2:4]) or not 2 <= length <= LONGEST:
        raise NotModbusError(f"no Modbus TCP header: {received[:HEADER].hex()}")
    used = HEADER - 1 + length
    if len(received) < used:
        return None
    return _asked(transaction, received[6], bytes(received[HEADER:used])), used


def _asked(transaction: int, unit: int, pdu: bytes) -> Asked:
    function = pdu[0]
    if function not in READS + WRITES:
        return Asked(transaction, unit, function, refusal=ILLEGAL_FUNCTION)
    address, second = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    words = _words(function, second, pdu)
    if words is None:
        return Asked(transaction, unit, function, refusal=ILLEGAL_VALUE)
    count = len(words) if function in WRITES else second
    refusal = ILLEGAL_ADDRESS if address + count > 65536 else None
    return Asked(transaction, unit, function, address, count, words, refusal)


def _words(function: int, second: int, pdu: bytes) -> tuple[int, ...] | None:
    """What is written (nothing for a read); None where length or count are impossible."""
    if function in READS:
        most = MOST_BITS if function in BIT_READS else MOST_REGISTERS
        return () if len(pdu) == 5 and 1 <= second <= most else None
    if function == 5:
        return (int(second == 0xFF00),) if len(pdu) == 5 and second in (0, 0xFF00) else None
    if function == 6:
        return (second,) if len(pdu) == 5 else None
    data = pdu[6:]
    size = (second + 7) // 8 if function == 15 else 2 * second
    most = MOST_WRITTEN_BITS if function == 15 else MOST_WRITTEN
    if len(pdu) < 6 or not 1 <= second <= most or pdu[5] != size or len(data) != size:
        return None
    if function == 15:
        return tuple(data[bit // 8] >> bit % 8 & 1 for bit in range(second))
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, size, 2))


def answered(asked: Asked, words: tuple[int, ...] = ()) -> bytes:
    """The reply: `words` of a read (0 and 1 for bits), the echo of a write."""
    function = asked.function
    if function in BIT_READS:
        data = sum(bit << at for at, bit in enumerate(words)).to_bytes((len(words) + 7) // 8, "little")
        return _framed(asked, bytes((function, len(data))) + data)
    if function in READS:
        data = b"".join(word.to_bytes(2, "big") for word in words)
        return _framed(asked, bytes((function, len(data))) + data)
    second = asked.words[0] if function == 6 else asked.words[0] * 0xFF00 if function == 5 else asked.count
    return _framed(asked, bytes((function,)) + asked.address.to_bytes(2, "big") + second.to_bytes(2, "big"))


def refused(asked: Asked, code: int) -> bytes:
    """The exception reply."""
    return _framed(asked, bytes((asked.function | 0x80, code)))


def _framed(asked: Asked, pdu: bytes) -> bytes:
    header = asked.transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big")
    return header + bytes((asked.unit,)) + pdu
