"""Writes Parquet in constant memory: a row group at a time, then the footer. Pure.

Only what an export needs: flat columns, PLAIN values, gzip. pyarrow would do it too, and would make a gateway's
installation 150 MB larger. Source: the Apache Parquet format, parquet.thrift; Thrift's compact protocol.
"""

import gzip
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

MAGIC: Final = b"PAR1"
CREATED_BY: Final = "CcMaster"

Kind = Literal["time", "text", "number"]

# parquet.thrift: Type, ConvertedType
_TYPE: Final[dict[Kind, int]] = {"time": 2, "text": 6, "number": 5}
_CONVERTED: Final[dict[Kind, int]] = {"text": 0, "time": 9}
_OPTIONAL, _PLAIN, _RLE, _GZIP = 1, 0, 3, 2
# Thrift's compact protocol
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


@dataclass(frozen=True, slots=True)
class Column:
    """`time` is milliseconds since 1970, UTC; every column may hold None."""

    name: str
    kind: Kind


class Parquet:
    """`begin`, then `group` for each few thousand rows, then `end`: what each returns follows in the file."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._offset = 0
        self._rows = 0
        self._groups: list[bytes] = []

    def begin(self) -> bytes:
        return self._counted(MAGIC)

    def group(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """One row group; rows are in the order of the columns."""
        if not rows:
            return b""
        pages, chunks, start, size = [], [], self._offset, 0
        for place, column in enumerate(self._columns):
            page, plain = _page([row[place] for row in rows], column.kind)
            chunks.append(_chunk(column, len(rows), (plain, len(page)), self._offset))
            size += plain
            pages.append(self._counted(page))
        self._rows += len(rows)
        self._groups.append(
            _struct((1, _LIST, _list(_STRUCT, chunks)), (2, _I64, _int(size)), (3, _I64, _int(len(rows))))
        )
        assert self._offset == start + sum(map(len, pages))
        return b"".join(pages)

    def end(self) -> bytes:
        schema = [_struct((4, _BINARY, _binary("schema")), (5, _I32, _int(len(self._columns))))]
        schema += [_element(column) for column in self._columns]
        footer = _struct(
            (1, _I32, _int(1)),
            (2, _LIST, _list(_STRUCT, schema)),
            (3, _I64, _int(self._rows)),
            (4, _LIST, _list(_STRUCT, self._groups)),
            (6, _BINARY, _binary(CREATED_BY)),
        )
        return footer + struct.pack("<I", len(footer)) + MAGIC

    def _counted(self, data: bytes) -> bytes:
        self._offset += len(data)
        return data


def _element(column: Column) -> bytes:
    fields = [
        (1, _I32, _int(_TYPE[column.kind])),
        (3, _I32, _int(_OPTIONAL)),
        (4, _BINARY, _binary(column.name)),
    ]
    if column.kind in _CONVERTED:
        fields.append((6, _I32, _int(_CONVERTED[column.kind])))
    return _struct(*fields)


def _chunk(column: Column, number: int, sizes: tuple[int, int], offset: int) -> bytes:
    plain, packed = sizes
    meta = _struct(
        (1, _I32, _int(_TYPE[column.kind])),
        (2, _LIST, _list(_I32, [_int(_PLAIN), _int(_RLE)])),
        (3, _LIST, _list(_BINARY, [_binary(column.name)])),
        (4, _I32, _int(_GZIP)),
        (5, _I64, _int(number)),
        (6, _I64, _int(plain)),
        (7, _I64, _int(packed)),
        (9, _I64, _int(offset)),
    )
    return _struct((2, _I64, _int(offset)), (3, _STRUCT, meta))


def _page(values: list[Any], kind: Kind) -> tuple[bytes, int]:
    """A data page with its header, and its length before compression."""
    body = _present(values) + _plain([value for value in values if value is not None], kind)
    packed = gzip.compress(body, compresslevel=6, mtime=0)
    inner = _struct(
        (1, _I32, _int(len(values))), (2, _I32, _int(_PLAIN)), (3, _I32, _int(_RLE)), (4, _I32, _int(_RLE))
    )
    header = _struct(
        (1, _I32, _int(0)), (2, _I32, _int(len(body))), (3, _I32, _int(len(packed))), (5, _STRUCT, inner)
    )
    return header + packed, len(header) + len(body)


def _present(values: list[Any]) -> bytes:
    """Definition levels: one bit a value, in one bit-packed run."""
    groups = -(-len(values) // 8)
    bits = sum(1 << place for place, value in enumerate(values) if value is not None)
    run = _varint(groups << 1 | 1) + bits.to_bytes(groups, "little")
    return struct.pack("<I", len(run)) + run


def _plain(values: list[Any], kind: Kind) -> bytes:
    if kind == "text":
        return b"".join(
            struct.pack("<I", len(data)) + data for data in (str(each).encode() for each in values)
        )
    return struct.pack(f"<{len(values)}{'q' if kind == 'time' else 'd'}", *values)


# --- Thrift's compact protocol -----------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _int(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _binary(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _list(kind: int, items: list[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + _varint(len(items))
    return head + b"".join(items)


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    """Fields as (id, type, value), in the order of their ids."""

    def parts() -> Iterator[bytes]:
        before = 0
        for number, kind, value in fields:
            yield bytes([(number - before) << 4 | kind]) + value
            before = number
        yield b"\0"

    return b"".join(parts())
