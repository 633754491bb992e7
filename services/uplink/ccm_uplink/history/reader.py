"""Answers questions about what is stored. Blocking: runs in one thread, on a connection that cannot write."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from ccm_contracts.metrics import METRICS
from ccm_contracts.verbs.uplink import MAX_POINTS, DeviceLedger, HistoryAnswer, HistoryQuery, Ledger, Series
from ccm_kit.errors import RefusedError, UnavailableError
from ccm_uplink.history.database import limit_time
from ccm_uplink.history.paging import Point, bucket_ms, instant_of, pages_of
from ccm_uplink.history.rows import BALANCE_METRICS, ms_of
from ccm_uplink.history.tables import device, sample, series, text_sample

A = TypeVar("A")

QUERY_S: Final = 10.0
"""A query that takes longer is stopped; its asker gives up after 15 s."""
POINTS_IN_ANSWER: Final = 10_000
"""Points of all series together: about 600 kB of JSON; NATS carries 1 MB."""
MEAN_DIGITS: Final = 6
"""Decimals of a mean: finer than any metric's resolution, coarser than the noise of a sum of floats."""

_ORDER: Final = {name: place for place, name in enumerate((*METRICS, *BALANCE_METRICS))}
"""Series come in the order in which screens show them."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One series of the device that was asked for."""

    id: int
    metric: str
    unit: str
    is_text: bool


class Reader:
    """The history of one gateway. Raises `RefusedError` (too slow) and `UnavailableError`."""

    def __init__(self, engine: Engine, gateway: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._gateway = gateway
        self._monotonic = monotonic

    def history(self, query: HistoryQuery, asked_at: float) -> HistoryAnswer:
        """`asked_at` (monotonic seconds) is when the time limit began."""

        def answer(connection: Connection) -> HistoryAnswer:
            lines = self._lines(connection, query)
            if query.points is None:
                return _as_stored(connection, query, lines)
            return _in_buckets(connection, query, lines)

        return self._limited(answer, asked_at)

    def ledger(self, asked_at: float) -> Ledger:
        """Balances carry no `seq`: a plant is shown as 1 to the number of its balances."""

        def answer(connection: Connection) -> Ledger:
            found = connection.execute(
                select(device).where(device.c.gateway == self._gateway, device.c.readings > 0)
            )
            return Ledger(devices=[_ledger_row(row) for row in found])

        return self._limited(answer, asked_at)

    def _limited(self, answer: Callable[[Connection], A], asked_at: float) -> A:
        ends_at = asked_at + QUERY_S

        def is_over() -> bool:
            return self._monotonic() > ends_at

        if is_over():
            raise UnavailableError("history is busy with other questions")
        try:
            with self._engine.connect() as connection:
                limit_time(connection, is_over, QUERY_S)
                return answer(connection)
        except DBAPIError as err:
            if is_over():
                text = f"the answer takes longer than {QUERY_S:g} s: ask for a shorter range or fewer metrics"
                raise RefusedError(text, code="too-slow") from err
            raise UnavailableError(f"history cannot be read: {err.orig}") from err

    def _lines(self, connection: Connection, query: HistoryQuery) -> list[_Line]:
        wanted = (
            select(series, device.c.is_plant)
            .join(device)
            .where(device.c.gateway == self._gateway, device.c.name == query.device)
            .order_by(series.c.id)
        )
        found = [
            _Line(row.id, row.metric, _unit(row.metric, row.is_plant), row.is_text)
            for row in connection.execute(wanted)
        ]
        if not query.metrics:
            return sorted(found, key=lambda line: _ORDER.get(line.metric, len(_ORDER)))
        return [line for metric in query.metrics for line in found if line.metric == metric]


def _unit(metric: str, is_plant: bool) -> str:
    if is_plant:
        return "W" if metric.startswith("p_") else ""
    return METRICS[metric].unit if metric in METRICS else ""


def _ledger_row(row: Any) -> DeviceLedger:
    first, last = (1, row.readings) if row.is_plant else (row.first_seq, row.last_seq)
    return DeviceLedger(
        device=row.name,
        first_seq=first,
        last_seq=last,
        readings=row.readings,
        last_ts=instant_of(row.last_ts_ms),
    )


def _as_stored(connection: Connection, query: HistoryQuery, lines: Sequence[_Line]) -> HistoryAnswer:
    most = min(MAX_POINTS, max(1, POINTS_IN_ANSWER // max(1, len(lines))))
    found = [_stored(connection, line, query, most + 1) for line in lines]
    pages, next_ms = pages_of(found, most)
    return HistoryAnswer(
        series=[_series(query, line, 0.0, page) for line, page in zip(lines, pages, strict=True)],
        next_from=None if next_ms is None else instant_of(next_ms),
    )


def _stored(connection: Connection, line: _Line, query: HistoryQuery, limit: int) -> list[Point]:
    table = text_sample if line.is_text else sample
    wanted = (
        select(table.c.ts_ms, table.c.value)
        .where(table.c.series_id == line.id)
        .where(table.c.ts_ms >= ms_of(query.start), table.c.ts_ms < ms_of(query.end))
        .order_by(table.c.ts_ms)
        .limit(limit)
    )
    if line.is_text:
        return [(ts_ms, value, None, None) for ts_ms, value in connection.execute(wanted)]
    return [(ts_ms, value, value, value) for ts_ms, value in connection.execute(wanted)]


def _in_buckets(connection: Connection, query: HistoryQuery, lines: Sequence[_Line]) -> HistoryAnswer:
    most = min(query.points or 1, max(1, POINTS_IN_ANSWER // max(1, len(lines))))
    start_ms, end_ms = ms_of(query.start), ms_of(query.end)
    width_ms = bucket_ms(start_ms, end_ms, most)
    answer = []
    for line in lines:
        cut = _last_texts if line.is_text else _means
        points = cut(connection, line.id, start_ms, end_ms, width_ms)
        answer.append(_series(query, line, width_ms / 1000, points))
    return HistoryAnswer(series=answer)


def _means(connection: Connection, at: int, start_ms: int, end_ms: int, width_ms: int) -> list[Point]:
    bucket = (sample.c.ts_ms - start_ms) // width_ms
    wanted = (
        select(bucket, func.avg(sample.c.value), func.min(sample.c.value), func.max(sample.c.value))
        .where(sample.c.series_id == at, sample.c.ts_ms >= start_ms, sample.c.ts_ms < end_ms)
        .group_by(bucket)
        .order_by(bucket)
    )
    return [
        (start_ms + number * width_ms, round(mean, MEAN_DIGITS), low, high)
        for number, mean, low, high in connection.execute(wanted)
    ]


def _last_texts(connection: Connection, at: int, start_ms: int, end_ms: int, width_ms: int) -> list[Point]:
    """A text has no mean: the last one of each interval."""
    bucket = (text_sample.c.ts_ms - start_ms) // width_ms
    last = (
        select(bucket.label("number"), func.max(text_sample.c.ts_ms).label("ts_ms"))
        .where(text_sample.c.series_id == at, text_sample.c.ts_ms >= start_ms, text_sample.c.ts_ms < end_ms)
        .group_by(bucket)
        .subquery()
    )
    wanted = (
        select(last.c.number, text_sample.c.value)
        .join(last, last.c.ts_ms == text_sample.c.ts_ms)
        .where(text_sample.c.series_id == at)
        .order_by(last.c.number)
    )
    return [(start_ms + number * width_ms, text, None, None) for number, text in connection.execute(wanted)]


def _series(query: HistoryQuery, line: _Line, resolution_s: float, points: list[Point]) -> Series:
    return Series(
        device=query.device, metric=line.metric, unit=line.unit, resolution_s=resolution_s, points=points
    )
