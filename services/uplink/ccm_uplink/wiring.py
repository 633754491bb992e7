"""One link put together: its far end, its pumps, and how they follow the configuration and the lease."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Backlog, Batch
from ccm_kit.backoff import Backoff
from ccm_uplink.lease import Lease
from ccm_uplink.link import LinkReport
from ccm_uplink.pump import ALONE, OLDEST_FIRST, Pump
from ccm_uplink.sinks.base import Sink

log = logging.getLogger(__name__)


class Link:
    """One far end with its pumps. `use` replaces its sink; what the pumps hold goes to the new one."""

    def __init__(self, report: LinkReport, lease: Lease, *pumps: tuple[Pump, bool]) -> None:
        """Each pump with whether the link's latency and batches apply to it."""
        self.report = report
        self._lease = lease
        report.may_write = lambda: lease.is_fresh
        self._pumps = pumps
        self._holding: asyncio.Task[None] | None = None

    async def use(self, sink: Sink, plan: "Plan") -> None:
        """Stop the sink in use, then start `sink`."""
        await self.stop()
        self.report.use(enabled=plan.enabled)
        self.report.meter.zone = plan.zone
        self.report.meter.budget_bytes = plan.bytes_per_day
        self._holding = asyncio.create_task(self._hold(sink), name=f"uplink.{self.report.link}.sink")
        for pump, has_latency in self._pumps:
            pump.use(
                sink,
                plan.latency_s if has_latency else 0,
                enabled=plan.enabled,
                backlog=plan.backlog,
                batch=plan.batch if has_latency else ALONE,
            )

    async def _hold(self, sink: Sink) -> None:
        backoff = Backoff(0.5, 10.0)
        while True:
            try:
                await sink.run()
                return
            except Exception as err:  # border of a child task: it is started again
                log.error("sink failed", exc_info=err, extra={"link": self.report.link})
                self.report.down(f"internal error: {type(err).__name__}; see the service's log")
            await asyncio.sleep(backoff.next())

    async def stop(self) -> None:
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.cancel()
            await asyncio.wait({holding})

    def send_now(self) -> int:
        """Do not wait for the end of the slots; how many messages are released."""
        return sum(pump.send_now() for pump, _ in self._pumps)

    async def run(self) -> None:
        """Pump and report while this uplink has the lease, for ever."""
        try:
            while True:
                await self._lease.held()
                await self._lease.while_held(self._deliver())
        finally:
            await self.stop()

    async def _deliver(self) -> None:
        pumps = [pump for pump, _ in self._pumps]
        await self.report.restore()
        async with asyncio.TaskGroup() as tasks:
            for pump in pumps:
                tasks.create_task(pump.run(), name=f"uplink.{pump.name}")
            tasks.create_task(self.report.run(*pumps), name=f"uplink.{self.report.link}.report")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a link is to run. `settings` is all of the configuration that concerns it: unchanged, nothing happens."""

    settings: object
    enabled: bool
    sink: Callable[[], Sink]
    latency_s: int = 0
    backlog: Backlog = OLDEST_FIRST
    batch: Batch = ALONE
    bytes_per_day: int = 0
    zone: tzinfo = UTC
    """The site's: a day's budget ends at its midnight."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """One link and how it follows the configuration; see `_history` for an example."""

    link: Link
    plan: Callable[[Document], Plan]
