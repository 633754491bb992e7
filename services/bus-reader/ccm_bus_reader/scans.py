"""The searches of a gateway: one per line, never while a synchronisation runs; their states on the bus."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ccm_bus_reader.catalogue import Catalog
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.scan import Access, Scan
from ccm_bus_reader.scan_plan import NETWORK, factory_settings, steps_of
from ccm_bus_reader.search_host import HostAccess
from ccm_bus_reader.search_line import PollerAccess, setting_of
from ccm_bus_reader.signature import signatures_of
from ccm_bus_reader.survey import Surveyor
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.channels import SCAN_STATE
from ccm_contracts.messages import Severity
from ccm_contracts.scan_state import ScanState, ScanStatus
from ccm_contracts.types import Timestamp
from ccm_contracts.verbs.bus_reader import HOST_LINE, ScanCancel, ScanRequest
from ccm_kit.bus import Bus
from ccm_kit.clock import Clock
from ccm_kit.errors import CcmError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

TELL_S: Final = 1.0
"""Progress is published at most so often; a find at once."""


@dataclass(slots=True)
class _Running:
    request: ScanRequest
    started: Timestamp
    scan: Scan
    own: HostAccess | None = None
    """A connection that only this search uses."""
    task: "asyncio.Task[None] | None" = None
    told_at: float = 0.0
    told_finds: int = -1


class Scans:
    """Starts, ends and reports them. `pollers` and `catalog` are those in force now."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        pollers: Callable[[], dict[str, Poller]],
        catalog: Callable[[], Catalog],
        is_synchronising: Callable[[], bool],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._pollers = pollers
        self._catalog = catalog
        self._is_synchronising = is_synchronising
        self._running: dict[str, _Running] = {}
        self._last: dict[str, ScanState] = {}
        self._starting: set[str] = set()
        self.is_configured = False
        """Whether the lines are those of the configuration yet."""

    @property
    def is_running(self) -> bool:
        return bool(self._running or self._starting)

    async def resume(self, line: str) -> None:
        """A search that a restart of this service has ended is told so. Raises `BusDownError`."""
        last = await self._bus.last(SCAN_STATE, id=line)
        if last is None or line in self._running:
            return
        if last.status == "running":
            ended = {"status": "failed", "ts": self._clock.now(), "left_s": None, "unit": None}
            last = last.model_copy(update=ended | {"error": "was ended by a restart of bus-reader"})
            self._bus.state(SCAN_STATE, last, id=line)
        self._last[line] = last

    async def start(self, args: ScanRequest, _: Any) -> ScanState:
        """Begin; a refusal says why: `unknown-line`, `scan-running`, `sync-running`, `offline`."""
        poller = self._check(args)
        self._starting.add(args.line)
        try:
            catalog = self._catalog()
            profiles = await asyncio.to_thread(catalog.models)
        finally:
            self._starting.discard(args.line)
        surveyor = Surveyor(signatures_of(profiles), catalog.find, WireCost.serial(9600))
        units = _units_on(poller) if poller else {}
        setting = setting_of(poller.endpoint) if poller else NETWORK
        steps = steps_of(args, setting, factory_settings(profiles), units)
        own: HostAccess | None = None
        access: Access
        if poller is None:
            own = access = HostAccess(args.host or "", args.tcp_port, self._clock)
        else:
            access = PollerAccess(poller)
        scan = Scan(steps, surveyor, access, self._clock, units)
        running = _Running(args, self._clock.now(), scan, own)
        scan.tell = lambda: self._tell(running)
        self._running[args.line] = running
        running.task = asyncio.create_task(self._run(running), name=f"bus-reader.scan.{args.line}")
        text = f"line {args.line}: a {args.depth} search for devices begins"
        self._bus.event("scan-started", "info", text, line=args.line, depth=args.depth)
        return self._told(running, "running")

    async def cancel(self, args: ScanCancel, _: Any) -> ScanState:
        """End it; the state that it ended with."""
        running = self._running.get(args.line)
        if running is None:
            raise RefusedError(f"no search runs on line {args.line}", code="no-scan")
        await self._end(running)
        return self._last[args.line]

    async def stop(self, line: str | None = None) -> None:
        """End all of them, or that of one line."""
        for running in list(self._running.values()):
            if line in (None, running.request.line):
                await self._end(running)

    # --- one search --------------------------------------------------------------------------------------

    def _check(self, args: ScanRequest) -> Poller | None:
        """The line; None for a host that no device is at."""
        if not self.is_configured:
            raise UnavailableError("the configuration is not known yet", code="starting")
        poller = self._pollers().get(args.line)
        if poller is None and args.line == HOST_LINE and args.host is not None:
            self._check_host(args.host, args.tcp_port)
        elif poller is None:
            raise RefusedError(f"there is no line {args.line}", code="not-found", field="line")
        if args.first_unit and args.last_unit and args.first_unit > args.last_unit:
            raise RefusedError("first_unit is above last_unit", code="bad-input", field="first_unit")
        named = "baudrates" if args.baudrates else "formats"
        if (args.baudrates or args.formats) and (poller is None or setting_of(poller.endpoint) == NETWORK):
            text = f"{args.line} is a network connection: who is at its far end sets rate and format"
            raise RefusedError(text, code="bad-input", field=named)
        if poller is not None and not poller.line.transport.is_open:
            raise UnavailableError(f"line {args.line} is closed", code="offline")
        if self._is_synchronising():
            raise RefusedError("synchronisation mode is on: leave it first", code="sync-running")
        if args.line in self._running or args.line in self._starting:
            raise RefusedError(f"a search runs on line {args.line} already", code="scan-running")
        return poller

    def _check_host(self, host: str, tcp_port: int) -> None:
        for poller in self._pollers().values():
            if poller.endpoint == TcpHost(host, tcp_port):
                text = f"devices are read at {host}:{tcp_port} already: search the line {poller.id}"
                raise RefusedError(text, code="known-line", field="host")

    async def _end(self, running: _Running) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.wait({running.task})

    async def _run(self, running: _Running) -> None:
        status: ScanStatus = "failed"
        error: str | None = "was ended"
        try:
            await running.scan.run()
            status, error = "done", None
        except asyncio.CancelledError:
            status, error = "cancelled", None
        except CcmError as err:
            error = err.message
        except Exception as err:  # border of a child task
            log.exception("search failed", extra={"line": running.request.line})
            error = f"internal error: {err!r}"
        finally:
            if running.own is not None:
                await running.own.close()
            self._running.pop(running.request.line, None)
            self._told(running, status, error)
            self._report(running, status, error)

    def _report(self, running: _Running, status: ScanStatus, error: str | None) -> None:
        line, count = running.request.line, len(running.scan.results)
        text = f"line {line}: search {status}, {count} found" + (f": {error}" if error else "")
        severity: Severity = "warning" if status == "failed" else "info"
        self._bus.event("scan-ended", severity, text, line=line, status=status, found=count, error=error)

    def _tell(self, running: _Running) -> None:
        now, finds = self._clock.monotonic(), len(running.scan.results)
        if finds != running.told_finds or now - running.told_at >= TELL_S:
            running.told_at, running.told_finds = now, finds
            self._told(running, "running")

    def _told(self, running: _Running, status: ScanStatus, error: str | None = None) -> ScanState:
        scan, request = running.scan, running.request
        is_running = status == "running"
        state = ScanState(
            line=request.line,
            host=request.host,
            tcp_port=request.tcp_port if request.host else None,
            status=status,
            depth=request.depth,
            started=running.started,
            ts=self._clock.now(),
            percent=100.0 if status == "done" else scan.progress.percent,
            left_s=scan.progress.left_s if is_running else None,
            setting=scan.setting,
            unit=scan.unit if is_running else None,
            asked=scan.progress.done,
            total=scan.progress.total,
            found=scan.results,
            error=error,
        )
        self._last[request.line] = state
        self._bus.state(SCAN_STATE, state, id=request.line)
        return state


def _units_on(poller: Poller) -> dict[int, str]:
    """The devices that are there, by unit."""
    return {
        device.config.unit: device.id for device in poller.devices.values() if device.config.secondary is None
    }
