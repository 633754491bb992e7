"""Frames of a line as a capture file that Wireshark and tshark open. Pure: bytes out.

A serial line becomes LINKTYPE_RTAC_SERIAL (250): each byte as it was, damaged ones too, with its direction; Wireshark
shows it as Modbus with "Decode As... RTAC Serial: Modbus RTU" (`tshark -d rtacser.data,mbrtu`). Modbus TCP becomes
LINKTYPE_RAW (101): an IPv4 and TCP header of this machine and the host around each frame, which needs no setting.
Sources: libpcap's file format, the registry of link-layer header types, RFC 791, RFC 9293.
"""

import struct
from collections.abc import Iterable
from typing import Final

from ccm_bus_reader.trace import Frame

MAGIC: Final = 0xA1B2C3D4
VERSION: Final = (2, 4)
LONGEST: Final = 65535
RTAC_SERIAL: Final = 250
RAW_IP: Final = 101
_HEADER: Final = struct.Struct("!IHHiIII")
_RECORD: Final = struct.Struct("!IIII")
_RTAC: Final = struct.Struct("!IIBBH")
_TX_START: Final = 1
_RX_START: Final = 2
_IP: Final = struct.Struct("!BBHHHBBH4s4s")
_TCP: Final = struct.Struct("!HHIIBBHHH")
_GATEWAY: Final = (bytes((127, 0, 0, 1)), 49152)
_HOST: Final = (bytes((127, 0, 0, 2)), 502)
"""Addresses in a capture of Modbus TCP: the host's own may be a name, and nobody routes these."""
_PSH_ACK: Final = 0x18


def pcap(frames: Iterable[Frame], *, is_modbus_tcp: bool) -> bytes:
    """The whole file; frames in the order of time."""
    link_type = RAW_IP if is_modbus_tcp else RTAC_SERIAL
    chunks = [_HEADER.pack(MAGIC, *VERSION, 0, 0, LONGEST, link_type)]
    sent = {"tx": 1, "rx": 1}
    for frame in frames:
        packet = _tcp_packet(frame, sent) if is_modbus_tcp else _rtac_packet(frame)
        seconds, micros = divmod(round(frame.ts.timestamp() * 1_000_000), 1_000_000)
        chunks += (_RECORD.pack(seconds, micros, len(packet), len(packet)), packet)
    return b"".join(chunks)


def _rtac_packet(frame: Frame) -> bytes:
    seconds, micros = divmod(round(frame.ts.timestamp() * 1_000_000), 1_000_000)
    event = _TX_START if frame.direction == "tx" else _RX_START
    return _RTAC.pack(seconds & 0xFFFFFFFF, micros, event, 0, 0) + frame.data


def _tcp_packet(frame: Frame, sent: dict[str, int]) -> bytes:
    (source, source_port), (target, target_port) = (
        (_GATEWAY, _HOST) if frame.direction == "tx" else (_HOST, _GATEWAY)
    )
    other = "rx" if frame.direction == "tx" else "tx"
    tcp = _TCP.pack(
        source_port, target_port, sent[frame.direction], sent[other], 5 << 4, _PSH_ACK, 8192, 0, 0
    )
    sent[frame.direction] = (sent[frame.direction] + len(frame.data)) & 0xFFFFFFFF
    length = _IP.size + len(tcp) + len(frame.data)
    ip = _IP.pack(0x45, 0, length, 0, 0, 64, 6, 0, source, target)
    ip = ip[:10] + _checksum(ip).to_bytes(2, "big") + ip[12:]
    return ip + tcp + frame.data


def _checksum(header: bytes) -> int:
    """Of an IPv4 header (RFC 791, section 3.1)."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
