"""Composition root of bus-reader: configuration to lines, lines to the bus, verbs to lines."""

from ccm_bus_reader.reader import Reader
from ccm_bus_reader.reports import BusReports
from ccm_contracts.channels import CATALOG, DEVICE_COMMAND, MODE_STATE
from ccm_contracts.state import ModeState
from ccm_kit.bus import Answer
from ccm_kit.config_watch import snapshots
from ccm_kit.service import Context

SECTIONS = ("ports", "devices")


async def main(context: Context) -> None:
    """Run until cancelled; then every line ends after the transaction on its wire."""
    bus, clock = context.bus, context.clock
    reader = Reader(BusReports(bus), clock, context.settings.data_dir / "catalog")
    bus.state(MODE_STATE, ModeState(mode="reading", since=clock.now()), id=bus.service)
    try:
        await bus.serve(Answer(DEVICE_COMMAND, reader.command), Answer(CATALOG, reader.catalog))
        async for snapshot in snapshots(bus, context.box, SECTIONS):
            await reader.apply(snapshot.document)
            context.revisions.clear()
            context.revisions.update(snapshot.revisions)
    finally:
        await reader.stop()
