"""Modbus frames as a slave sees them: requests taken apart, replies put together, for RTU and TCP.

Pure; knows no device, no line and no time. Sources: MODBUS Application Protocol Specification V1.1b3 (functions,
exceptions), MODBUS over Serial Line V1.02 (RTU frame, CRC), MODBUS Messaging on TCP/IP V1.0b (MBAP header).
"""

from collections.abc import Sequence
from typing import Protocol

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
GATEWAY_TARGET_SILENT = 11

READ_HOLDING = 3
READ_INPUT = 4
WRITE_ONE = 6
WRITE_MANY = 16

MAX_READ = 125
MAX_WRITE = 123

BROADCAST = 0

_MBAP_BYTES = 7


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


class ModbusError(Exception):
    """The request is answered with this exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Target(Protocol):
    """What answers requests: one device."""

    @property
    def functions(self) -> frozenset[int]:
        """The function codes it knows."""

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """`count` registers from `address`, or ModbusError."""

    def write(self, address: int, values: Sequence[int]) -> None:
        """Takes the registers over, or raises ModbusError and changes nothing."""


def crc16(data: bytes) -> int:
    """CRC of an RTU frame (polynomial 0xA001, start 0xFFFF); sent low byte first.

    >>> hex(crc16(b"123456789"))
    '0x4b37'
    """
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def rtu(unit: int, pdu: bytes) -> bytes:
    """The RTU frame of a PDU."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def rtu_request_length(received: bytes) -> int | None:
    """Bytes of the RTU request that starts here; None while too little is there or the function is unknown."""
    if len(received) < 2:
        return None
    function = received[1]
    if 1 <= function <= 6:
        return 8
    if function in (15, WRITE_MANY):
        return 9 + received[6] if len(received) > 6 else None
    return None


def is_whole(frame: bytes) -> bool:
    """Whether the bytes are one RTU frame with a right CRC."""
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    """The Modbus TCP frame of a PDU."""
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu


def next_mbap(received: bytes) -> tuple[int, int, bytes, int] | None:
    """The first whole TCP frame as (transaction, unit, PDU, bytes used); None while it is incomplete.

    Raises ValueError for bytes that cannot be a frame: the connection is then of no further use.
    """
    if len(received) < _MBAP_BYTES:
        return None
    length = int.from_bytes(received[4:6], "big")
    if received[2:4] != b"\0\0" or not 2 <= length <= 254:
        raise ValueError(f"no MBAP header: {received[:_MBAP_BYTES].hex()}")
    used = 6 + length
    if len(received) < used:
        return None
    return int.from_bytes(received[:2], "big"), received[6], received[_MBAP_BYTES:used], used


def exception(function: int, code: int) -> bytes:
    """The PDU of an exception reply."""
    return bytes((function & 0x7F | 0x80, code))


def answer(pdu: bytes, target: Target) -> bytes:
    """The target's reply PDU to a request PDU; faults become exception replies."""
    function = pdu[0]
    try:
        if function not in target.functions:
            raise ModbusError(ILLEGAL_FUNCTION)
        if function in (READ_HOLDING, READ_INPUT):
            return _answer_read(pdu, target)
        if function == WRITE_ONE:
            return _answer_write_one(pdu, target)
        if function == WRITE_MANY:
            return _answer_write_many(pdu, target)
        raise ModbusError(ILLEGAL_FUNCTION)
    except ModbusError as fault:
        return exception(function, fault.code)


def _word(pdu: bytes, at: int) -> int:
    return int.from_bytes(pdu[at : at + 2], "big")


def _answer_read(pdu: bytes, target: Target) -> bytes:
    count = _word(pdu, 3)
    if len(pdu) != 5 or not 1 <= count <= MAX_READ:
        raise ModbusError(ILLEGAL_VALUE)
    registers = target.read(pdu[0], _word(pdu, 1), count)
    return bytes((pdu[0], 2 * count)) + b"".join(register.to_bytes(2, "big") for register in registers)


def _answer_write_one(pdu: bytes, target: Target) -> bytes:
    if len(pdu) != 5:
        raise ModbusError(ILLEGAL_VALUE)
    target.write(_word(pdu, 1), (_word(pdu, 3),))
    return pdu


def _answer_write_many(pdu: bytes, target: Target) -> bytes:
    count = _word(pdu, 3)
    if not 1 <= count <= MAX_WRITE or len(pdu) != 6 + 2 * count or pdu[5] != 2 * count:
        raise ModbusError(ILLEGAL_VALUE)
    target.write(_word(pdu, 1), [_word(pdu, 6 + 2 * index) for index in range(count)])
    return pdu[:5]
