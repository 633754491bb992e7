"""A search for devices without a bus: what `ccmaster scan` shows to the installer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.drivers.modbus import Framing, Rtu, Tcp
from ccm_bus_reader.line import Line
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.read_once import endpoint_of
from ccm_bus_reader.scan import Scan
from ccm_bus_reader.scan_plan import NETWORK, factory_settings, steps_of
from ccm_bus_reader.search_line import LineWire, setting_of
from ccm_bus_reader.signature import signatures_of
from ccm_bus_reader.survey import Surveyor
from ccm_bus_reader.transport import Transport
from ccm_contracts.scan_state import FoundDevice, LineSetting
from ccm_contracts.verbs.bus_reader import ScanRequest
from ccm_kit.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the search is."""

    percent: float
    left_s: float
    setting: LineSetting
    unit: int | None
    found: tuple[FoundDevice, ...]


@dataclass(slots=True)
class OwnAccess:
    """A line that nobody else uses."""

    line: Line

    @asynccontextmanager
    async def turn(self, setting: LineSetting) -> AsyncIterator[LineWire]:
        """Raises `UnavailableError`."""
        if setting not in (NETWORK, setting_of(self.line.transport.endpoint)):
            await self.line.reconfigure(setting.baudrate, setting.format)
        wire = LineWire(self.line)
        wire.late_units()
        yield wire


async def scan_once(
    port: str,
    request: ScanRequest,
    tell: Callable[[Standing], None],
    *,
    user_catalog: Path | None = None,
) -> None:
    """Search `port` (a serial path, `tcp://host:port`, `rtu+tcp://host:port`); `tell` hears of every unit and find.

    Raises `BadInputError` (port) or `UnavailableError` (the port cannot be opened, or is lost).
    """
    rate = request.baudrates[0] if request.baudrates else 9600
    character = request.formats[0] if request.formats else "8N1"
    endpoint, is_modbus_tcp = endpoint_of(port, rate, character)
    catalog = load_catalog(user_catalog)
    profiles = catalog.models()
    clock = SystemClock()
    transport = Transport(endpoint, clock)
    framing: Framing = Tcp() if is_modbus_tcp else Rtu()
    line = Line(transport, framing, clock, is_numbered=is_modbus_tcp)
    surveyor = Surveyor(signatures_of(profiles), catalog.find, WireCost.serial(9600))
    steps = steps_of(request, setting_of(endpoint), factory_settings(profiles))
    scan = Scan(steps, surveyor, OwnAccess(line), clock)

    def told() -> None:
        progress = scan.progress
        tell(Standing(progress.percent, progress.left_s, scan.setting, scan.unit, tuple(scan.results)))

    scan.tell = told
    await transport.open()
    try:
        line.opened()
        await scan.run()
    finally:
        await transport.close()
