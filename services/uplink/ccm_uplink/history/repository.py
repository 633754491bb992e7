"""Writes readings and balances, each exactly once however often it is delivered. Blocking: runs in one thread."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, bindparam, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ccm_uplink.history.rows import Rows
from ccm_uplink.history.tables import device, reading, sample, series, text_sample

SeriesKey = tuple[int, str, bool]
"""Device id, metric, is text."""

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


class Repository:
    """The history of one gateway. Raises SQLAlchemy's errors; then nothing of the batch was stored."""

    def __init__(self, engine: Engine, gateway: str) -> None:
        self._engine = engine
        self._gateway = gateway
        self._devices: dict[str, int] = {}
        self._series: dict[SeriesKey, int] = {}
        self._samples = _Upsert(engine, sample, ["series_id", "ts_ms"], "value")
        self._texts = _Upsert(engine, text_sample, ["series_id", "ts_ms"], "value")
        self._readings = (
            _insert(engine, reading)
            .on_conflict_do_nothing()
            .returning(reading.c.device_id, reading.c.ts_ms, reading.c.seq)
        )

    def store(self, batch: Sequence[Rows]) -> int:
        """Commit a batch; the number of messages that were not there yet."""
        if not batch:
            return 0
        self._know(batch)
        ledger = {(self._devices[rows.device], rows.ts_ms, rows.seq): rows for rows in batch}
        with self._engine.begin() as connection:
            marks = [
                {"device_id": key[0], "ts_ms": key[1], "seq": key[2], "quality": rows.quality}
                for key, rows in ledger.items()
            ]
            found = connection.execute(self._readings, marks)
            new = [ledger[row[0], row[1], row[2]] for row in found]
            self._samples.run(connection, self._values(new, is_text=False))
            self._texts.run(connection, self._values(new, is_text=True))
            if new:
                connection.execute(_COUNTED, self._counts(new))
        return len(new)

    def _values(self, batch: Iterable[Rows], *, is_text: bool) -> list[tuple[int, int, Any]]:
        values: list[tuple[int, int, Any]] = []
        for rows in batch:
            at, ts_ms, ids = self._devices[rows.device], rows.ts_ms, self._series
            for metric, value in (rows.texts if is_text else rows.numbers).items():
                values.append((ids[at, metric, is_text], ts_ms, value))
        values.sort(key=lambda row: (row[0], row[1]))  # neighbours in the table: fewer pages touched
        return values

    def _counts(self, batch: Iterable[Rows]) -> list[dict[str, int]]:
        of_device: dict[int, list[Rows]] = defaultdict(list)
        for rows in batch:
            of_device[self._devices[rows.device]].append(rows)
        return [
            {
                "at": at,
                "count": len(group),
                "first": min(rows.seq for rows in group),
                "last": max(group, key=lambda rows: (rows.ts_ms, rows.seq)).seq,
                "ts": max(rows.ts_ms for rows in group),
            }
            for at, group in of_device.items()
        ]

    def _know(self, batch: Iterable[Rows]) -> None:
        """Give ids to devices and series that are seen for the first time, in a transaction of their own."""
        unknown = {rows.device: rows.is_plant for rows in batch if rows.device not in self._devices}
        if unknown:
            self._know_devices(unknown)
        missing: set[SeriesKey] = set()
        for rows in batch:
            at = self._devices[rows.device]
            missing.update(
                (at, name, False) for name in rows.numbers if (at, name, False) not in self._series
            )
            missing.update((at, name, True) for name in rows.texts if (at, name, True) not in self._series)
        if missing:
            self._know_series(missing)

    def _know_devices(self, unknown: dict[str, bool]) -> None:
        empty = {"gateway": self._gateway, "readings": 0, "first_seq": 0, "last_seq": 0, "last_ts_ms": 0}
        rows = [{**empty, "name": name, "is_plant": is_plant} for name, is_plant in unknown.items()]
        with self._engine.begin() as connection:
            connection.execute(_insert(self._engine, device).on_conflict_do_nothing(), rows)
            found = select(device.c.name, device.c.id).where(device.c.gateway == self._gateway)
            self._devices = {row.name: row.id for row in connection.execute(found)}

    def _know_series(self, missing: set[SeriesKey]) -> None:
        rows = [
            {"device_id": at, "metric": metric, "is_text": is_text} for at, metric, is_text in sorted(missing)
        ]
        with self._engine.begin() as connection:
            connection.execute(_insert(self._engine, series).on_conflict_do_nothing(), rows)
            found = select(series).where(series.c.device_id.in_({at for at, _, _ in missing}))
            for row in connection.execute(found):
                self._series[row.device_id, row.metric, row.is_text] = row.id


def _insert(engine: Engine, table: Table) -> Any:
    """The dialect's own insert: both have the same `on_conflict` methods, the portable one has none."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


class _Upsert:
    """Many rows as tuples in the order of the table's columns; a row with the same key gets the new value."""

    def __init__(self, engine: Engine, table: Table, key: list[str], value: str) -> None:
        statement = _insert(engine, table)
        self._statement = statement.on_conflict_do_update(
            index_elements=key, set_={value: statement.excluded[value]}
        )
        self._columns = [column.name for column in table.columns]
        compiled = self._statement.compile(dialect=engine.dialect, column_keys=self._columns)
        self._fast = str(compiled) if compiled.positiontup == self._columns else None

    def run(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        if self._fast is not None:
            connection.exec_driver_sql(self._fast, rows)
        else:
            connection.execute(self._statement, [dict(zip(self._columns, row, strict=True)) for row in rows])
