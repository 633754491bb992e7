"""Composition root of bus-reader: configuration to lines, lines to the bus, verbs to lines."""

import asyncio
from collections.abc import Awaitable, Callable

from ccm_bus_reader.diagnostics import Diagnostics
from ccm_bus_reader.profile_desk import ProfileDesk
from ccm_bus_reader.reader import Reader
from ccm_bus_reader.reports import BusReports
from ccm_bus_reader.scans import Scans
from ccm_bus_reader.server.host import ModbusHost
from ccm_bus_reader.sync import Synchronisation
from ccm_contracts.verb_table import (
    ADAPTERS,
    BUDGET,
    CAPTURE,
    CATALOG,
    DEVICE_COMMAND,
    PROFILE_PUT,
    PROFILE_REMOVE,
    PROFILES,
    SCAN_CANCEL,
    SCAN_START,
    SET_MODE,
    TRACE,
)
from ccm_contracts.verbs.bus_reader import HOST_LINE
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Answer
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.config_watch import snapshots
from ccm_kit.errors import BusDownError
from ccm_kit.service import Context

SECTIONS = ("ports", "devices", "plants", "modbus_server")


async def main(context: Context) -> None:
    """Run until cancelled; then every line ends after the transaction on its wire."""
    bus, clock = context.bus, context.clock
    user_catalog = context.settings.data_dir / "catalog"
    reader = Reader(BusReports(bus), clock, user_catalog)
    profiles = ProfileDesk(reader, user_catalog)
    sync = Synchronisation(
        bus, clock, lambda: reader.pollers, lambda: reader.models, lambda: scans.is_running
    )
    scans = Scans(bus, clock, lambda: reader.pollers, lambda: reader.models, lambda: sync.is_on)
    await _persistently(sync.resume)
    await _persistently(lambda: scans.resume(HOST_LINE))
    diagnostics = Diagnostics(reader)
    modbus = ModbusHost(bus, lambda: reader.pollers)
    try:
        await bus.serve(
            Answer(DEVICE_COMMAND, reader.command),
            Answer(CATALOG, reader.catalog),
            Answer(PROFILES, profiles.listed),
            Answer(PROFILE_PUT, profiles.put),
            Answer(PROFILE_REMOVE, profiles.remove),
            Answer(SCAN_START, scans.start),
            Answer(SCAN_CANCEL, scans.cancel),
            Answer(SET_MODE, sync.set_mode),
            Answer(BUDGET, diagnostics.budget),
            Answer(TRACE, diagnostics.trace),
            Answer(CAPTURE, diagnostics.capture),
            Answer(ADAPTERS, diagnostics.adapters),
        )
        known: set[str] = set()
        async for snapshot in snapshots(bus, context.box, SECTIONS):
            sync.apply(snapshot.document)  # before: a line that is open has its role
            await reader.apply(snapshot.document)
            stop_if_cancelled()
            sync.is_configured = scans.is_configured = True
            await modbus.apply(snapshot.document)
            for line in set(reader.pollers) - known:
                await _persistently(lambda line=line: scans.resume(line))  # type: ignore[misc]
            known = set(reader.pollers)
            context.revisions.clear()
            context.revisions.update(snapshot.revisions)
    finally:
        await scans.stop()
        await sync.stop()
        await modbus.stop()
        await reader.stop()


async def _persistently(ask: Callable[[], Awaitable[None]]) -> None:
    backoff = Backoff()
    while True:
        try:
            await ask()
            stop_if_cancelled()
            return
        except BusDownError:
            await asyncio.sleep(backoff.next())
