"""CSV as RFC 4180 says: one row for each reading, one column for each metric. Pure.

An empty cell is "not available"; texts are quoted, and where one would be taken for a formula (it begins with = + - @,
a tab or a line break), or begins with an apostrophe, an apostrophe stands before it.
"""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from ccm_contracts.config.services import Csv
from ccm_uplink.formats.records import Record, Value, local_time, unit_of

FIXED: Final = ("time", "device", "seq", "quality")
"""The columns before those of the metrics."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""The last one so that an apostrophe that is read is always one to take off."""


class CsvLayout:
    """`metrics` are the columns, in order."""

    kind = "csv"

    def __init__(self, options: Csv, zone: ZoneInfo, metrics: Sequence[str]) -> None:
        self._options = options
        self._zone = zone
        self._metrics = metrics

    def head(self) -> str:
        """The header: `time,device,seq,quality,v1 [V],...`."""
        names = [*FIXED, *(_titled(metric) for metric in self._metrics)]
        return ("\ufeff" if self._options.bom else "") + self._row([self._text(name) for name in names])

    def row(self, record: Record, *, is_first: bool) -> str:
        del is_first
        cells = [
            self._text(local_time(record.ts, self._zone)),
            self._text(record.device),
            self._cell(record.seq),
            self._text(record.quality),
            *(self._cell(record.values.get(metric)) for metric in self._metrics),
        ]
        return self._row(cells)

    def tail(self) -> str:
        return ""

    def _row(self, cells: Sequence[str]) -> str:
        return self._options.separator.join(cells) + "\r\n"

    def _cell(self, value: Value) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return _quoted("'" + value if value.startswith(_FORMULA) else value)
        return repr(value).replace(".", self._options.decimal)

    def _text(self, text: str) -> str:
        """A text of ours: quoted only where it must be."""
        return _quoted(text) if self._options.separator in text or '"' in text else text


def _titled(metric: str) -> str:
    unit = unit_of(metric)
    name = "'" + metric if metric.startswith(_FORMULA) else metric
    return f"{name} [{unit}]" if unit else name


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
