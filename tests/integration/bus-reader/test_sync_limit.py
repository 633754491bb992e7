"""Synchronisation mode ends by itself, with the real reader in this process."""

from pathlib import Path

from ccm_bus_reader.reader import Reader
from ccm_bus_reader.reports import BusReports
from ccm_bus_reader.sync import Synchronisation
from ccm_contracts.channels import EVENT
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Port
from ccm_contracts.verbs.bus_reader import SetMode
from ccm_kit.bus import open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from ccm_sim import Site, parse_spec
from tests.support.nats import NatsServer
from tests.support.wait import until

LINES = {"native": {"devices": {"grid": {"kind": "ccm4", "unit": 1}}}}


async def test_mode_that_nobody_leaves_ends_by_itself_and_says_so(nats: NatsServer, tmp_path: Path) -> None:
    clock = SystemClock()
    link = NatsLink(nats.url, user="", password="", name="bus-reader")
    async with (
        Site(parse_spec({"lines": LINES}), tmp_path) as site,
        link,
        open_bus(link, service="bus-reader", gateway="GW1", clock=clock, version="0.0.0") as bus,
    ):
        path = str(site.line_path("native"))
        document = Document(ports=[Port(id="native", kind="rs485", path=path, role="native")])
        reader = Reader(BusReports(bus), clock, tmp_path / "catalog")
        sync = Synchronisation(
            bus, clock, lambda: reader.pollers, lambda: reader.models, lambda: False, longest_s=0.6
        )
        try:
            sync.apply(document)
            await reader.apply(document)
            sync.is_configured = True
            assert (await sync.set_mode(SetMode(mode="toggle"), None)).until is not None
            await until(lambda: not sync.is_on, deadline_s=5, what="the end of the mode")

            async def told() -> str | None:
                event = await bus.last(EVENT, source="bus-reader", kind="synchronisation-ended")
                return event.message if event is not None else None

            text = await until(told, deadline_s=5, what="the event")
            assert text == "synchronisation mode ended by itself after 0.01 minutes: 0 devices got a unit"
        finally:
            await sync.stop()
            await reader.stop()
