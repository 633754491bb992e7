"""The series that a question is about, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from ccm_contracts.metrics import ACCUMULATED, METRICS
from ccm_contracts.verbs.uplink import Aggregate, HistoryQuery, Series
from ccm_uplink.history.calendar import Calendar
from ccm_uplink.history.paging import Point
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.roller import is_counter
from ccm_uplink.history.rows import BALANCE_METRICS
from ccm_uplink.history.state import floors
from ccm_uplink.history.tables import device, series

MEAN_DIGITS: Final = 6
"""Decimals of a mean: finer than any metric's resolution, coarser than the noise of a sum of floats."""

_ORDER: Final = {name: place for place, name in enumerate((*METRICS, *BALANCE_METRICS))}
"""Series come in the order in which screens show them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series; readings from `rolled_to_ms` on are not in the rollups yet."""

    id: int
    device: str
    metric: str
    unit: str
    is_text: bool
    is_counter: bool
    rolled_to_ms: int
    last_ts_ms: int
    """The device's newest reading."""

    def answer(
        self, points: list[Point], resolution_s: float, stat: Aggregate = "mean", unit: str | None = None
    ) -> Series:
        return Series(
            device=self.device,
            metric=self.metric,
            unit=self.unit if unit is None else unit,
            resolution_s=resolution_s,
            points=points,
            stat=stat,
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A query with all that an answer needs."""

    connection: Connection
    query: HistoryQuery
    lines: list[Line]
    floors: Mapping[str, int]
    keeping: Keeping
    calendar: Calendar
    now_ms: int
    accumulated: Mapping[int, Line]
    """By a counter's series, the one that adds what it counted and never steps back, where there is one."""


def question(
    connection: Connection,
    gateway: str,
    query: HistoryQuery,
    *,
    keeping: Keeping,
    calendar: Calendar,
    now_ms: int,
) -> Question:
    every = _every(connection, gateway, query)
    by_name = {(line.device, line.metric): line for line in every}
    totals = {line.id: by_name.get((line.device, ACCUMULATED.get(line.metric, ""))) for line in every}
    return Question(
        connection,
        query,
        _asked_for(query, every),
        floors(connection, gateway),
        keeping,
        calendar,
        now_ms,
        {id_: total for id_, total in totals.items() if total is not None},
    )


def _asked_for(query: HistoryQuery, lines: list[Line]) -> list[Line]:
    """In the order of the devices and metrics asked for; without metrics in the order of the vocabulary."""
    names = list(dict.fromkeys([query.device, *query.devices]))
    order = {name: place for place, name in enumerate(query.metrics)} or _ORDER
    found = [line for line in lines if not query.metrics or line.metric in query.metrics]
    return sorted(found, key=lambda line: (names.index(line.device), order.get(line.metric, len(order))))


def _every(connection: Connection, gateway: str, query: HistoryQuery) -> list[Line]:
    """All series of the devices asked for."""
    names = list(dict.fromkeys([query.device, *query.devices]))
    wanted = (
        select(series, device.c.is_plant, device.c.name, device.c.rolled_to_ms, device.c.last_ts_ms)
        .join(device)
        .where(device.c.gateway == gateway, device.c.name.in_(names))
        .order_by(series.c.id)
    )
    return [
        Line(
            row.id,
            row.name,
            row.metric,
            _unit(row.metric, row.is_plant),
            row.is_text,
            is_counter(row.metric),
            row.rolled_to_ms,
            row.last_ts_ms,
        )
        for row in connection.execute(wanted)
    ]


def _unit(metric: str, is_plant: bool) -> str:
    if is_plant:
        return "W" if metric.startswith("p_") else ""
    return METRICS[metric].unit if metric in METRICS else ""
