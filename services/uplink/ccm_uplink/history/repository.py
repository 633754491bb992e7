"""Writes readings and balances, each exactly once however often it is delivered. Blocking: runs in one thread."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter, lt
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Table, bindparam, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ccm_contracts.messages import Event
from ccm_uplink.history.calendar import MINUTE_MS, Calendar
from ccm_uplink.history.levels import RAW
from ccm_uplink.history.retention import Floors
from ccm_uplink.history.roller import absorb
from ccm_uplink.history.rows import Rows, ms_of
from ccm_uplink.history.state import floors
from ccm_uplink.history.statements import Insert
from ccm_uplink.history.tables import (
    device,
    dirty,
    event,
    late_reading,
    reading,
    sample,
    series,
    text_sample,
)

_READINGS: Final = Insert(reading, replace=False)
_LATE: Final = Insert(late_reading, replace=False)
_DIRTY: Final = Insert(dirty, replace=False)
_SAMPLES: Final = Insert(sample, replace=True)
_TEXTS: Final = Insert(text_sample, replace=True)
_EVENTS: Final = Insert(event, replace=True)

_COUNTED: Final = (
    update(device)
    .where(device.c.id == bindparam("at"))
    .values(
        first_seq=case((device.c.readings == 0, bindparam("first")), else_=device.c.first_seq),
        last_seq=case((device.c.last_ts_ms <= bindparam("ts"), bindparam("last")), else_=device.c.last_seq),
        last_ts_ms=case((device.c.last_ts_ms <= bindparam("ts"), bindparam("ts")), else_=device.c.last_ts_ms),
        readings=device.c.readings + bindparam("count"),
    )
)

MOST_KINDS: Final = 16
"""Different sets of metrics that are remembered of one device."""
TOLD: Final = (
    "device-online",
    "device-offline",
    "device-removed",
    "device-disabled",
    "line-open",
    "line-closed",
    "overrun",
    "overrun-ended",
    "service-started",
)
"""Events that explain a gap."""


@dataclass(slots=True)
class _Known:
    """A device with the ids of its series, by metric."""

    id: int
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    series: dict[tuple[str, ...], tuple[int, ...]] = field(default_factory=dict)
    """The ids for the metrics of one reading: nearly all readings of a device have the same."""
    told: dict[int, tuple[int, str]] = field(default_factory=dict)
    """The text last stored of each series, with its minute."""


class Repository:
    """The history of one gateway. Raises SQLAlchemy's errors; then nothing of the batch was stored."""

    def __init__(self, engine: Engine, gateway: str) -> None:
        self._engine = engine
        self._gateway = gateway
        self._devices: dict[str, _Known] = {}

    def store(self, batch: Sequence[Rows], calendar: Calendar, now_ms: int) -> int:
        """Commit a batch; the number of messages that were not there yet."""
        of_device: dict[str, list[Rows]] = defaultdict(list)
        for rows in batch:
            of_device[rows.device].append(rows)
        self._know(of_device)
        try:
            with self._engine.begin() as connection:
                return self._store(connection, of_device, calendar, now_ms)
        except Exception:
            for known in self._devices.values():
                known.told.clear()
            raise

    def _store(
        self, connection: Connection, of_device: dict[str, list[Rows]], calendar: Calendar, now_ms: int
    ) -> int:
        kept_from = floors(connection, self._gateway)
        floor = kept_from[RAW.name]
        ids = [self._devices[name].id for name in of_device]
        locked = select(device).where(device.c.id.in_(ids)).order_by(device.c.id).with_for_update()
        marks: list[tuple[int, int, int, int]] = []
        columns: list[_Column] = []
        texts: list[tuple[int, int, str]] = []
        minutes: set[tuple[int, int]] = set()
        counts: list[dict[str, int]] = []
        stored = 0
        for row in connection.execute(locked).all():
            known = self._devices[row.name]
            new = _new(connection, row, of_device[row.name])
            oldest_ms = min([rows.ts_ms for rows in new], default=floor)
            late = [rows for rows in new if rows.ts_ms < floor] if oldest_ms < floor else []
            if late:
                new = [rows for rows in new if rows.ts_ms >= floor]
                late = _unknown_late(connection, row.id, late)
                self._absorb(connection, known, late, calendar, kept_from)
                _LATE.run(connection, [(row.id, rows.ts_ms, rows.seq, now_ms) for rows in late])
            marks += [(row.id, rows.ts_ms, rows.seq, rows.quality) for rows in new]
            columns += _columns(known, new)
            texts += [each for rows in new if rows.texts for each in _told(known, rows)]
            if oldest_ms < row.rolled_to_ms:
                minutes.update(_minutes(row.id, new, row.rolled_to_ms))
            if new or late:
                counts.append(_counts(row.id, [*new, *late]))
                stored += len(new) + len(late)
        if counts:
            connection.execute(_COUNTED, counts)
        columns.sort(key=itemgetter(0))  # neighbours in the table: fewer pages touched
        _READINGS.run(connection, marks)
        _SAMPLES.run_columns(
            connection,
            list(chain.from_iterable([at] * len(stamps) for at, stamps, _ in columns)),
            list(chain.from_iterable(stamps for _, stamps, _ in columns)),
            list(chain.from_iterable(values for _, _, values in columns)),
        )
        _TEXTS.run(connection, texts)
        _DIRTY.run(connection, sorted(minutes))
        return stored

    def _absorb(
        self, connection: Connection, known: _Known, late: list[Rows], calendar: Calendar, kept_from: Floors
    ) -> None:
        """Readings of a time whose single values were dropped: into the rollups only."""
        values = {
            (known.numbers[metric], rows.ts_ms): value
            for rows in late
            for metric, value in zip(rows.metrics, rows.numbers, strict=True)
        }
        absorb(connection, known.id, [(*key, value) for key, value in values.items()], calendar, kept_from)

    def note(self, events: Iterable[Event]) -> None:
        """Keep the events that explain gaps."""
        found = {}
        for each in events:
            if each.kind in TOLD:
                line = str(each.data.get("line", ""))[:40]
                about = str(each.data.get("device", ""))[:80] if each.kind.startswith("device") else line
                key = (self._gateway, ms_of(each.ts), each.source, each.kind, about)
                found[key] = (*key, line, each.message)
        with self._engine.begin() as connection:
            _EVENTS.run(connection, list(found.values()))

    # --- ids -----------------------------------------------------------------------------------------

    def _know(self, of_device: dict[str, list[Rows]]) -> None:
        """Give ids to devices and series that are seen for the first time, in a transaction of their own."""
        unknown = {name: found[0].is_plant for name, found in of_device.items() if name not in self._devices}
        if unknown:
            self._know_devices(unknown)
        missing: set[tuple[int, str, bool]] = set()
        for name, found in of_device.items():
            known = self._devices[name]
            for metrics in {rows.metrics for rows in found}:
                if metrics not in known.series:
                    missing.update(
                        (known.id, metric, False) for metric in metrics if metric not in known.numbers
                    )
            for rows in found:
                if rows.texts:
                    missing.update(
                        (known.id, metric, True) for metric in rows.texts if metric not in known.texts
                    )
        if missing:
            self._know_series(missing)

    def _know_devices(self, unknown: dict[str, bool]) -> None:
        empty = {"gateway": self._gateway, "readings": 0, "first_seq": 0, "last_seq": 0, "last_ts_ms": 0}
        rows = [{**empty, "name": name, "is_plant": is_plant} for name, is_plant in unknown.items()]
        with self._engine.begin() as connection:
            connection.execute(_ignoring(self._engine, device), rows)
            found = select(device.c.name, device.c.id).where(device.c.gateway == self._gateway)
            for row in connection.execute(found):
                self._devices.setdefault(row.name, _Known(row.id))

    def _know_series(self, missing: set[tuple[int, str, bool]]) -> None:
        rows = [
            {"device_id": at, "metric": metric, "is_text": is_text} for at, metric, is_text in sorted(missing)
        ]
        by_id = {known.id: known for known in self._devices.values()}
        with self._engine.begin() as connection:
            connection.execute(_ignoring(self._engine, series), rows)
            found = select(series).where(series.c.device_id.in_({at for at, _, _ in missing}))
            for row in connection.execute(found):
                known = by_id[row.device_id]
                (known.texts if row.is_text else known.numbers)[row.metric] = row.id


def _ignoring(engine: Engine, table: Table) -> Any:
    """The dialect's own insert: both have the same `on_conflict` methods, the portable one has none."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def _new(connection: Connection, row: Row[Any], found: list[Rows]) -> list[Rows]:
    """Those that are not in the ledger, each once."""
    keys = [(rows.ts_ms, rows.seq) for rows in found]
    if keys[0][0] > row.last_ts_ms and all(map(lt, keys, keys[1:])):
        return found
    by_key = dict(zip(keys, found, strict=True))
    first, last = min(keys)[0], max(keys)[0]
    if row.readings and first <= row.last_ts_ms:
        there = select(reading.c.ts_ms, reading.c.seq).where(
            reading.c.device_id == row.id, reading.c.ts_ms >= first, reading.c.ts_ms <= last
        )
        for ts_ms, seq in connection.execute(there):
            by_key.pop((ts_ms, seq), None)
    return list(by_key.values())


def _minutes(at: int, new: list[Rows], rolled_to_ms: int) -> Iterator[tuple[int, int]]:
    """Minutes that were made already and have to be made again."""
    return ((at, rows.ts_ms - rows.ts_ms % MINUTE_MS) for rows in new if rows.ts_ms < rolled_to_ms)


def _unknown_late(connection: Connection, at: int, late: list[Rows]) -> list[Rows]:
    there = select(late_reading.c.ts_ms, late_reading.c.seq).where(
        late_reading.c.device_id == at,
        late_reading.c.ts_ms >= min(rows.ts_ms for rows in late),
        late_reading.c.ts_ms <= max(rows.ts_ms for rows in late),
    )
    seen = {(ts_ms, seq) for ts_ms, seq in connection.execute(there)}
    return [rows for rows in late if (rows.ts_ms, rows.seq) not in seen]


_Column = tuple[int, list[int], tuple[float, ...]]
"""A series with stamps and values."""


def _columns(known: _Known, group: list[Rows]) -> list[_Column]:
    """The numbers of one device, those of a series together."""
    alike: dict[tuple[str, ...], list[Rows]] = defaultdict(list)
    for rows in group:
        alike[rows.metrics].append(rows)
    found: list[_Column] = []
    for metrics, those in alike.items():
        ids = known.series.get(metrics)
        if ids is None:
            if len(known.series) >= MOST_KINDS:
                known.series.clear()
            ids = known.series[metrics] = tuple(known.numbers[metric] for metric in metrics)
        stamps = [rows.ts_ms for rows in those]
        values = zip(*[rows.numbers for rows in those], strict=True)
        found += [(at, stamps, column) for at, column in zip(ids, values, strict=True)]
    return found


def _told(known: _Known, rows: Rows) -> list[tuple[int, int, str]]:
    """A text is stored when it changes, and once a minute."""
    found = []
    minute = rows.ts_ms // MINUTE_MS
    for metric, value in rows.texts.items():
        at = known.texts[metric]
        if known.told.get(at) != (minute, value):
            known.told[at] = (minute, value)
            found.append((at, rows.ts_ms, value))
    return found


def _counts(at: int, group: list[Rows]) -> dict[str, int]:
    ts_ms, last = max([(rows.ts_ms, rows.seq) for rows in group])
    first = min([rows.seq for rows in group])
    return {"at": at, "count": len(group), "first": first, "last": last, "ts": ts_ms}
