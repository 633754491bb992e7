"""Stored values as a file: CSV, JSON, one JSON object a line, or Parquet; a page at a time. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from ccm_api.parquet import Column, Parquet
from ccm_contracts.verbs.uplink import Series

Format = Literal["csv", "json", "ndjson", "parquet"]

MEDIA: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
COLUMNS: Final = ("time", "device", "metric", "unit", "value", "min", "max")

Row = tuple[int, str, str, str, float | str | None, float | None, float | None]
"""As `COLUMNS`; the time is milliseconds since 1970, UTC."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""A spreadsheet would run a text that begins so; an apostrophe before it makes it a text. One that begins with an
apostrophe gets another, so that the first one is always to be taken off."""


class Writer(Protocol):
    """What each method returns follows in the file."""

    def begin(self) -> bytes: ...
    def page(self, rows: list[Row]) -> bytes: ...
    def end(self) -> bytes: ...


def rows_of(series: Iterable[Series]) -> list[Row]:
    """One row a value, in the order of time."""

    def rows() -> Iterator[Row]:
        for each in series:
            for ts_ms, value, low, high in each.points:
                yield ts_ms, each.device, each.metric, each.unit, value, low, high

    return sorted(rows(), key=lambda row: row[0])


def writer_of(form: Format, zone: str, *, decimal_comma: bool = False) -> Writer:
    if form == "csv":
        return CsvWriter(zone, decimal_comma=decimal_comma)
    return ParquetWriter() if form == "parquet" else JsonWriter(zone, is_array=form == "json")


class Clock:
    """Times as ISO 8601 with the offset of the site's clock: `2026-05-01T14:00:00.000+02:00`."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def text(self, ts_ms: int) -> str:
        moment = (_EPOCH + timedelta(milliseconds=ts_ms)).astimezone(self._zone)
        return moment.isoformat(timespec="milliseconds")


class CsvWriter:
    """Comma and decimal point; with `decimal_comma` semicolon and decimal comma, as spreadsheets of many countries."""

    def __init__(self, zone: str, *, decimal_comma: bool) -> None:
        self._clock = Clock(zone)
        self._comma = decimal_comma

    def begin(self) -> bytes:
        return self._lines([COLUMNS])

    def page(self, rows: list[Row]) -> bytes:
        return self._lines([[self._clock.text(row[0]), *map(self._cell, row[1:])] for row in rows])

    def end(self) -> bytes:
        return b""

    def _cell(self, value: float | str | None) -> str:
        if isinstance(value, str):
            return f"'{value}" if value.startswith(_FORMULA) else value
        text = "" if value is None else f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
        return text.replace(".", ",") if self._comma else text

    def _lines(self, rows: Iterable[Iterable[str]]) -> bytes:
        lines = io.StringIO()
        csv.writer(lines, delimiter=";" if self._comma else ",", lineterminator="\r\n").writerows(rows)
        return lines.getvalue().encode()


class JsonWriter:
    """Objects with the names of `COLUMNS`: in one array, or one a line."""

    def __init__(self, zone: str, *, is_array: bool) -> None:
        self._clock = Clock(zone)
        self._is_array = is_array
        self._is_first = True

    def begin(self) -> bytes:
        return b"[" if self._is_array else b""

    def page(self, rows: list[Row]) -> bytes:
        if not rows:
            return b""
        texts = [
            json.dumps(
                dict(zip(COLUMNS, (self._clock.text(row[0]), *row[1:]), strict=True)), separators=(",", ":")
            )
            for row in rows
        ]
        if not self._is_array:
            return ("\n".join(texts) + "\n").encode()
        before, self._is_first = "\n" if self._is_first else ",\n", False
        return (before + ",\n".join(texts)).encode()

    def end(self) -> bytes:
        return b"\n]\n" if self._is_array else b""


class ParquetWriter:
    """`time` is UTC; a text value is in the column `text`."""

    def __init__(self) -> None:
        names = ("device", "metric", "unit")
        self._file = Parquet(
            [
                Column("time", "time"),
                *(Column(name, "text") for name in names),
                *(Column(name, "number") for name in ("value", "min", "max")),
                Column("text", "text"),
            ]
        )

    def begin(self) -> bytes:
        return self._file.begin()

    def page(self, rows: list[Row]) -> bytes:
        return self._file.group(
            [
                (*row[:4], None, row[5], row[6], row[4]) if isinstance(row[4], str) else (*row, None)
                for row in rows
            ]
        )

    def end(self) -> bytes:
        return self._file.end()
