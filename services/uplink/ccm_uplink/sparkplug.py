"""Sparkplug B payloads: metrics with names, aliases and types, as protobuf bytes. Pure.

Only what an edge node needs. Sources: Eclipse Sparkplug 3.0.0 specification, chapters 4 to 6; field numbers and data
types from `sparkplug_b.proto` of eclipse/tahu.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["NBIRTH", "NDEATH", "NDATA", "NCMD", "DBIRTH", "DDEATH", "DDATA"]
Content = float | int | bool | str | None

UINT64: Final = 8
DOUBLE: Final = 10
BOOLEAN: Final = 11
STRING: Final = 12

BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"

_NAME, _ALIAS, _TIMESTAMP, _DATATYPE, _IS_NULL = 1, 2, 3, 4, 7
_LONG, _DOUBLE, _BOOLEAN, _STRING = 11, 13, 14, 15
_PAYLOAD_TIMESTAMP, _PAYLOAD_METRIC, _PAYLOAD_SEQ = 1, 2, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class SparkplugMetric:
    """`name` is left out of data messages: the alias of the birth stands for it."""

    datatype: int
    value: Content
    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One edge node; makes its topics."""

    group: str
    name: str

    def topic(self, kind: Kind, device: str | None = None) -> str:
        return "/".join(("spBv1.0", self.group, kind, self.name, *((device,) if device else ())))


def payload(timestamp_ms: int, metrics: Sequence[SparkplugMetric], seq: int | None) -> bytes:
    """`seq` is 0...255; None only in a death by last will."""
    parts = [_number(_PAYLOAD_TIMESTAMP, timestamp_ms)]
    parts += [_chunk(_PAYLOAD_METRIC, _metric(metric)) for metric in metrics]
    if seq is not None:
        parts.append(_number(_PAYLOAD_SEQ, seq))
    return b"".join(parts)


def _metric(metric: SparkplugMetric) -> bytes:
    parts = []
    if metric.name is not None:
        parts.append(_chunk(_NAME, metric.name.encode()))
    if metric.alias is not None:
        parts.append(_number(_ALIAS, metric.alias))
    if metric.timestamp_ms is not None:
        parts.append(_number(_TIMESTAMP, metric.timestamp_ms))
    parts.append(_number(_DATATYPE, metric.datatype))
    parts.append(_value(metric))
    return b"".join(parts)


def _value(metric: SparkplugMetric) -> bytes:
    value = metric.value
    if value is None:
        return _number(_IS_NULL, 1)
    if metric.datatype == DOUBLE:
        return _varint(_DOUBLE << 3 | _FIXED64) + struct.pack("<d", float(value))
    if metric.datatype == STRING:
        return _chunk(_STRING, str(value).encode())
    return _number(_BOOLEAN if metric.datatype == BOOLEAN else _LONG, int(value))


def asks_for_rebirth(data: bytes) -> bool:
    """Whether an NCMD has `Node Control/Rebirth` set. Raises `ValueError` for what is no payload."""
    for number, content in _fields(data):
        if number != _PAYLOAD_METRIC or not isinstance(content, bytes):
            continue
        metric = dict(_fields(content))
        if metric.get(_NAME) == REBIRTH.encode() and metric.get(_BOOLEAN) == 1:
            return True
    return False


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        size, at = (
            _read_varint(data, at) if wire == _BYTES else ({_FIXED64: 8, _FIXED32: 4}.get(wire, -1), at)
        )
        if size < 0 or at + size > len(data):
            raise ValueError("not a Sparkplug B payload")
        yield number, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise ValueError("not a Sparkplug B payload")


def _varint(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        digits.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(digits)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _chunk(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data
