"""A line as a search uses it: questions without quarantine, and who answered too late."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.scan_plan import NETWORK
from ccm_bus_reader.transport import Endpoint, SerialPort
from ccm_contracts.scan_state import LineSetting


@dataclass(slots=True)
class LineWire:
    """Asks on a line that its caller has alone."""

    line: Line
    had_bytes: bool = False
    _foreign: dict[int, int] = field(default_factory=dict)

    async def ask(self, request: Request, timeout_s: float) -> Answer | Failure:
        """Without quarantine: who answers late is noticed, and asked again."""
        result = await self.line.exchange(request, timeout_s=timeout_s, quarantine=False)
        is_lost = isinstance(result, Failure) and result.kind == "lost" and not request.values
        if is_lost and self.line.is_clear and await self.line.resumed():
            result = await self.line.exchange(request, timeout_s=timeout_s, quarantine=False)
        self.had_bytes = isinstance(result, Failure) and (
            result.kind in ("corrupt", "garbled") or bool(self.line.transport.received)
        )
        return result

    def late_units(self) -> set[int]:
        """Units with frames that nobody waited for since the last call."""
        counts = {unit: each.foreign for unit, each in self.line.counters.items()}
        late = {unit for unit, count in counts.items() if count > self._foreign.get(unit, 0)}
        self._foreign = counts
        return {unit for unit in late if 1 <= unit <= 247}


def setting_of(endpoint: Endpoint) -> LineSetting:
    """A line's own parameters."""
    if isinstance(endpoint, SerialPort):
        return LineSetting(baudrate=endpoint.baudrate, format=endpoint.format)
    return NETWORK


@dataclass(frozen=True, slots=True)
class PollerAccess:
    """A running line, borrowed from its owner."""

    poller: Poller
    reason: str = "a search for devices"

    @asynccontextmanager
    async def turn(self, setting: LineSetting) -> AsyncIterator[LineWire]:
        """Raises `RefusedError` (`busy`) and `UnavailableError`."""
        async with self.poller.exclusive(self.reason) as line:
            if setting not in (NETWORK, setting_of(self.poller.endpoint)):
                await line.reconfigure(setting.baudrate, setting.format)
            wire = LineWire(line)
            wire.late_units()
            yield wire
