"""The MQTT packets of a publisher's session, as bytes. Pure.

Sources: MQTT 3.1.1 (OASIS, 2014) and MQTT 5.0 (OASIS, 2019), sections 2.1 and 3.3 to 3.7.
"""

import struct
from collections.abc import Iterator
from typing import Final

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBREL: Final = 0x62
"""With the flag bits that section 3.6.1 demands."""
PUBCOMP: Final = 0x70
NOBODY: Final = 0x10
"""Reason code of MQTT 5: taken, and there is no subscriber (section 3.4.2.1)."""
REFUSED_FROM: Final = 0x80
"""A reason code of MQTT 5 from here on is a refusal (section 2.4)."""

_CONTENT_TYPE: Final = 0x03
_USER_PROPERTY: Final = 0x26


def publish(packet_id: int, topic: bytes, payload: bytes, *, qos: int, properties: bytes, dup: bool) -> bytes:
    """A PUBLISH; `properties` is empty for MQTT 3.1.1 and what `properties_of` gives for MQTT 5."""
    identifier = packet_id.to_bytes(2, "big") if qos else b""
    length = 2 + len(topic) + len(identifier) + len(properties) + len(payload)
    head = bytes((PUBLISH | (8 if dup else 0) | qos << 1,))
    return b"".join(
        (
            head,
            _length(length),
            len(topic).to_bytes(2, "big"),
            topic,
            identifier,
            properties,
            payload,
        )
    )


def pubrel(packet_id: int) -> bytes:
    return struct.pack("!BBH", PUBREL, 2, packet_id)


def properties_of(content_type: str, **user: str) -> bytes:
    """The property block of an MQTT 5 PUBLISH: content type and user properties (section 3.3.2.3)."""
    block = bytes((_CONTENT_TYPE,)) + _text(content_type)
    for name, value in user.items():
        block += bytes((_USER_PROPERTY,)) + _text(name) + _text(value)
    return _length(len(block)) + block


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _length(number: int) -> bytes:
    """A variable byte integer (MQTT 5 section 1.5.5)."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(digits)


class Frames:
    """Cuts what came from the socket into packets, however it was cut on the way."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole packets, each with its fixed header. A length that cannot be is handed on as it came."""
        data = self._rest + data
        start, end = 0, len(data)
        while (stop := _end_of_packet(data, start)) is not None and stop <= end:
            yield data[start:stop]
            start = stop
        self._rest = data[start:]


def _end_of_packet(data: bytes, start: int) -> int | None:
    length, shift = 0, 0
    for at in range(start + 1, min(start + 5, len(data))):
        digit = data[at]
        length |= (digit & 0x7F) << shift
        if not digit & 0x80:
            return at + 1 + length
        shift += 7
    return len(data) if len(data) - start >= 5 else None


def confirmation(packet: bytes) -> tuple[int, int, int] | None:
    """`(kind, packet id, reason)` of a PUBACK, PUBREC or PUBCOMP; reason 0 where MQTT 3.1.1 or brevity has none."""
    kind = packet[0] & 0xF0
    if kind not in (PUBACK, PUBREC, PUBCOMP) or len(packet) < 4:
        return None
    return kind, packet[2] << 8 | packet[3], packet[4] if len(packet) > 4 else 0
