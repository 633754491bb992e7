"""The head of a Modbus TCP frame (MODBUS Messaging on TCP/IP V1.0b, 3.1.3): where one ends, and whether it is one."""

import struct
from typing import Final

MBAP_HEADER: Final = 7
ALWAYS_ZERO: Final = slice(2, 5)
"""The protocol, and the high byte of the length."""
LARGEST_MBAP_LENGTH: Final = 254
"""Unit and PDU of the longest Modbus TCP frame (Messaging on TCP/IP V1.0b, 4.1)."""
_PROTOCOL_AND_LENGTH: Final = struct.Struct(">HH")


def tcp_frame(received: bytes | bytearray) -> int | None:
    """Length of the whole Modbus TCP frame that starts here: 0 while it is not there, None where there is none.

    One with something else than a frame behind it lacked its end, and has that of another one.
    """
    there = len(received)
    if there < MBAP_HEADER:
        return 0
    protocol, length = _PROTOCOL_AND_LENGTH.unpack_from(received, 2)
    if protocol or not 3 <= length <= LARGEST_MBAP_LENGTH:
        return None
    whole: int = length + MBAP_HEADER - 1
    if there <= whole:
        return whole if there == whole else 0
    return None if any(received[whole + ALWAYS_ZERO.start : whole + ALWAYS_ZERO.stop]) else whole
