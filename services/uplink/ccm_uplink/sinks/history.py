"""The history database as a sink. Does not know SQL."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from ccm_contracts.messages import Event, Severity
from ccm_contracts.types import format_ts
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus, Delivery
from ccm_uplink.history.paging import instant_of
from ccm_uplink.history.rows import UnstorableError, rows_of
from ccm_uplink.history.store import DatabaseError, DatabaseRefusedError, Store
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Handover, SinkDownError, Turn

log = logging.getLogger(__name__)

OPEN_FIRST_S: Final = 0.2
OPEN_CEILING_S: Final = 5.0
PIECE_PAUSE_S: Final = 0.01
IDLE_S: Final = 1.0
BACKLOG_FROM: Final = 400
"""Messages of a batch that mean that more of them wait on the bus."""
BACKLOG_PAUSE_S: Final = 2.0
TELL_EVERY_S: Final = 3600.0


def prepare(deliveries: Sequence[Delivery]) -> None:
    """Their rows; of one that cannot be stored `deliver` says why."""
    for delivery in deliveries:
        try:
            delivery.form = rows_of(delivery.message)
        except UnstorableError:
            delivery.form = None


class HistorySink:
    """Delivered means committed to disk."""

    def __init__(self, store: Store, report: LinkReport, bus: Bus, turn: Turn) -> None:
        self._store = store
        self._report = report
        self._bus = bus
        self._turn = turn
        self._ready = asyncio.Event()
        self._busy_until = 0.0
        self._told: dict[str, float] = {}

    async def run(self) -> None:
        """Bring the schema up to date, however long the database is away; then see to its upkeep, for ever."""
        backoff = Backoff(OPEN_FIRST_S, OPEN_CEILING_S)
        while not self._store.is_open:
            try:
                await self._store.open()
            except DatabaseError as err:
                self._report.down(str(err))
                await asyncio.sleep(backoff.next())
        self._ready.set()
        self._report.up()
        await self._keep_up()

    async def _keep_up(self) -> None:
        """Rollups, retention and budget in pieces. While a backlog is written they take a small share."""
        backoff = Backoff(OPEN_FIRST_S, OPEN_CEILING_S)
        while True:
            await self._turn.held()
            try:
                has_more = await self._store.upkeep()
                backoff.reset()
                pause_s = PIECE_PAUSE_S if has_more else IDLE_S
            except DatabaseError as err:
                log.warning("upkeep of the history failed", extra={"error": str(err)})
                pause_s = backoff.next()
            self._tell_space()
            is_backlog = asyncio.get_running_loop().time() < self._busy_until
            await asyncio.sleep(max(pause_s, BACKLOG_PAUSE_S if is_backlog else 0.0))

    def _tell_space(self) -> None:
        """That the disk is full, and what was dropped; each one event in a while, for small pieces go one by one."""
        if self._store.is_full:
            self._tell("disk-full", "error", "history: the disk is full; what does not fit waits on the bus")
        if trimmed := self._store.trimmed():
            until = format_ts(instant_of(trimmed.until_ms))
            severity: Severity = "error" if trimmed.is_full else "warning"
            self._tell(trimmed.kind, severity, trimmed.text, level=trimmed.level, until=until)

    def _tell(self, kind: str, severity: Severity, text: str, **data: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._told.get(kind, 0.0):
            self._told[kind] = now + TELL_EVERY_S
            self._bus.event(kind, severity, text, **data)

    async def deliver(self, batch: Handover) -> None:
        await self._ready.wait()  # `run` says why it takes long
        left = batch.left()
        if len(left) >= BACKLOG_FROM:
            self._busy_until = asyncio.get_running_loop().time() + BACKLOG_PAUSE_S
        if left and isinstance(left[0].message, Event):
            await self._note(batch, left)
            return
        good = [delivery for delivery in left if delivery.form is not None]
        if len(good) < len(left):
            good = await self._storable(batch, left)
        try:
            await self._store.write([delivery.form for delivery in good])
        except DatabaseRefusedError:
            await self._one_by_one(batch, good)
            return
        except DatabaseError as err:
            raise SinkDownError(str(err)) from err
        self._report.up()
        await batch.done(*good)

    async def _storable(self, batch: Handover, deliveries: list[Delivery]) -> list[Delivery]:
        """What is left once what no database could hold is refused."""
        good = []
        for delivery in deliveries:
            try:
                delivery.form = delivery.form or rows_of(delivery.message)
                good.append(delivery)
            except UnstorableError as err:
                await batch.refuse(delivery, str(err))
        return good

    async def _note(self, batch: Handover, deliveries: list[Delivery]) -> None:
        try:
            await self._store.note([delivery.message for delivery in deliveries])
        except DatabaseError as err:
            raise SinkDownError(str(err)) from err
        await batch.done(*deliveries)

    async def _one_by_one(self, batch: Handover, deliveries: list[Delivery]) -> None:
        """Some row of the batch is refused: find out which, and store the others."""
        for delivery in deliveries:
            try:
                await self._store.write([delivery.form])
            except DatabaseRefusedError as err:
                await batch.refuse(delivery, str(err))
            except DatabaseError as err:
                raise SinkDownError(str(err)) from err
            else:
                await batch.done(delivery)
