"""Answers questions about what is stored. Blocking: runs in one thread, on a connection that cannot write."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from ccm_contracts.verbs.uplink import (
    DeviceLedger,
    GapsAnswer,
    GapsQuery,
    HistoryAnswer,
    HistoryQuery,
    Ledger,
)
from ccm_kit.errors import RefusedError, UnavailableError
from ccm_uplink.history.calendar import Calendar
from ccm_uplink.history.cuts import in_intervals
from ccm_uplink.history.database import limit_time
from ccm_uplink.history.gaps import gaps_in
from ccm_uplink.history.lines import question
from ccm_uplink.history.paging import instant_of
from ccm_uplink.history.periods import in_periods
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.stored import as_stored
from ccm_uplink.history.tables import device

A = TypeVar("A")

QUERY_S: Final = 10.0
"""A query that takes longer is stopped; its asker gives up after 15 s."""


class Reader:
    """The history of one gateway. Raises `RefusedError` (too slow) and `UnavailableError`."""

    def __init__(self, engine: Engine, gateway: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._gateway = gateway
        self._monotonic = monotonic

    def history(
        self, query: HistoryQuery, keeping: Keeping, calendar: Calendar, now_ms: int, asked_at: float
    ) -> HistoryAnswer:
        """`asked_at` (monotonic seconds) is when the time limit began."""

        def answer(connection: Connection) -> HistoryAnswer:
            asked = question(
                connection, self._gateway, query, keeping=keeping, calendar=calendar, now_ms=now_ms
            )
            if query.aggregate is not None:
                return in_periods(asked, query.aggregate)
            return as_stored(asked) if query.points is None else in_intervals(asked)

        return self._limited(answer, asked_at)

    def gaps(self, query: GapsQuery, now_ms: int, asked_at: float) -> GapsAnswer:
        """`now_ms` ends a range that goes on into the future."""
        return self._limited(lambda connection: gaps_in(connection, self._gateway, query, now_ms), asked_at)

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


def _ledger_row(row: Any) -> DeviceLedger:
    first, last = (1, row.readings) if row.is_plant else (row.first_seq, row.last_seq)
    return DeviceLedger(
        device=row.name,
        first_seq=first,
        last_seq=last,
        readings=row.readings,
        last_ts=instant_of(row.last_ts_ms),
    )
