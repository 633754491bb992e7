"""A whole file from the lines of a journal, piece by piece, and what is left for the next one. Pure.

A first pass over the lines finds the columns.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from ccm_contracts.config.services import Csv, Historic
from ccm_uplink.formats.csv_file import CsvLayout
from ccm_uplink.formats.json_file import JsonLayout
from ccm_uplink.formats.periods import UNITS, carried, in_periods, is_note, sorted_lines
from ccm_uplink.formats.records import Record, as_in_history, in_order, record_of
from ccm_uplink.history.calendar import Calendar

Lines = Callable[[], Iterable[bytes]]
"""The lines of a journal, from the first one; asked for twice."""
Records = Callable[[], Iterable[Record]]


class Layout(Protocol):
    """How one file looks."""

    def head(self) -> str: ...

    def row(self, record: Record, *, is_first: bool) -> str: ...

    def tail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What the configuration says about files."""

    gateway: str
    zone: ZoneInfo
    kind: str
    csv: Csv
    latency_s: int = 0

    @classmethod
    def of(cls, gateway: str, zone: ZoneInfo, historic: Historic) -> "FileOptions":
        return cls(gateway, zone, historic.format, historic.csv, historic.latency_s)


@dataclass(frozen=True, slots=True)
class Content:
    """`carry` are the lines that the next journal begins with."""

    pieces: Iterable[str]
    carry: Iterable[bytes]


def content_of(lines: Lines, options: FileOptions, end: datetime) -> Content | None:
    """None where there is nothing to say yet."""
    if options.latency_s:
        return _of_periods(lines, options, end)

    def records() -> Iterator[Record]:
        return (as_in_history(record_of(line)) for line in lines() if not is_note(line))

    columns: set[str] = set()
    is_empty = True
    for record in records():
        is_empty = False
        columns.update(record.values)
    return None if is_empty else Content(_pieces(records, columns, options, end), ())


def _of_periods(lines: Lines, options: FileOptions, end: datetime) -> Content | None:
    calendar, unit = Calendar(options.zone.key), UNITS[options.latency_s]
    found = sorted_lines(lines(), calendar, unit, end)
    if not found.over:
        return None
    after = deepcopy(found.before)
    columns = {name for record in in_periods(found.over, calendar, unit, after) for name in record.values}

    def records() -> Iterator[Record]:
        return in_periods(found.over, calendar, unit, deepcopy(found.before))

    return Content(_pieces(records, columns, options, end), carried(after, found.going_on))


def _pieces(records: Records, columns: set[str], options: FileOptions, end: datetime) -> Iterator[str]:
    layout = _layout(options, in_order(columns), end)
    yield layout.head()
    for number, record in enumerate(records()):
        yield layout.row(record, is_first=number == 0)
    yield layout.tail()


def _layout(options: FileOptions, columns: list[str], end: datetime) -> Layout:
    if options.kind == "json":
        return JsonLayout(options.zone, columns, gateway=options.gateway, end=end, period_s=options.latency_s)
    return CsvLayout(options.csv, options.zone, columns)
