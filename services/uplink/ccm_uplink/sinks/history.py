"""The history database as a sink. Does not know SQL."""

import asyncio
from typing import Final

from ccm_kit.backoff import Backoff
from ccm_kit.bus import Delivery
from ccm_uplink.history.rows import Rows, UnstorableError, rows_of
from ccm_uplink.history.store import DatabaseError, DatabaseRefusedError, Store
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Handover, SinkDownError

OPEN_FIRST_S: Final = 0.2
OPEN_CEILING_S: Final = 5.0


class HistorySink:
    """Delivered means committed to disk."""

    def __init__(self, store: Store, report: LinkReport) -> None:
        self._store = store
        self._report = report
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Bring the schema up to date, however long the database is away; then there is nothing to hold."""
        backoff = Backoff(OPEN_FIRST_S, OPEN_CEILING_S)
        while not self._store.is_open:
            try:
                await self._store.open()
            except DatabaseError as err:
                self._report.down(str(err))
                await asyncio.sleep(backoff.next())
        self._ready.set()
        self._report.up()

    async def deliver(self, batch: Handover) -> None:
        await self._ready.wait()  # `run` says why it takes long
        rows = [(delivery, await _storable(batch, delivery)) for delivery in batch.left()]
        good = [(delivery, row) for delivery, row in rows if row is not None]
        try:
            await self._store.write([row for _, row in good])
        except DatabaseRefusedError:
            await self._one_by_one(batch, good)
            return
        except DatabaseError as err:
            raise SinkDownError(str(err)) from err
        self._report.up()
        for delivery, _ in good:
            await batch.done(delivery)

    async def _one_by_one(self, batch: Handover, rows: list[tuple[Delivery, Rows]]) -> None:
        """Some row of the batch is refused: find out which, and store the others."""
        for delivery, row in rows:
            try:
                await self._store.write([row])
            except DatabaseRefusedError as err:
                await batch.refuse(delivery, str(err))
            except DatabaseError as err:
                raise SinkDownError(str(err)) from err
            else:
                await batch.done(delivery)


async def _storable(batch: Handover, delivery: Delivery) -> Rows | None:
    try:
        return rows_of(delivery.message)
    except UnstorableError as err:
        await batch.refuse(delivery, str(err))
        return None
