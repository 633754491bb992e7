"""Composition root: builds the links from the configuration and replaces their sinks when it changes."""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from ccm_contracts.channels import EVENT, GAPS, HISTORY, LEDGER, PLANT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Backlog
from ccm_contracts.messages import Command
from ccm_contracts.verbs.uplink import GapsAnswer, GapsQuery, HistoryAnswer, HistoryQuery, Ledger, LedgerQuery
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Answer
from ccm_kit.config_watch import snapshots
from ccm_kit.errors import RefusedError
from ccm_kit.service import Context
from ccm_uplink.courtesy import Courtesy
from ccm_uplink.family import Fetch
from ccm_uplink.ftp_link import FtpLink
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.store import Store
from ccm_uplink.link import LinkReport
from ccm_uplink.mqtt_link import MqttInForce, mqtt_answers, mqtt_sink
from ccm_uplink.pump import OLDEST_FIRST, Pump
from ccm_uplink.sinks.base import Discard, Sink
from ccm_uplink.sinks.history import HistorySink, prepare

log = logging.getLogger(__name__)

SECTIONS: Final = ("mqtt", "ftp", "historic", "timezone")
GARBAGE_AFTER: Final = 50_000
"""Objects more than there were at the last look for unreachable cycles."""
TURN_S: Final = 0.0005
"""How long the thread that writes to the disk waits for its turn, when the bus keeps the other one busy."""
TO_DISK: Final = Fetch(most=2000, wait_s=1.0, gather_s=1.0, is_to_disk=True)
"""A batch gathers for a second: fewer commits, and each of them waits for the disk."""
TO_HISTORY: Final = replace(TO_DISK, prepare=prepare)
TO_BROKER: Final = Fetch(most=100, wait_s=1.0, gather_s=0.05)


class Link:
    """One far end with its pumps. `use` replaces its sink; what the pumps hold goes to the new one."""

    def __init__(self, report: LinkReport, *pumps: tuple[Pump, bool]) -> None:
        """Each pump with whether the link's latency applies to it."""
        self.report = report
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
        """Pump and report, for ever."""
        pumps = [pump for pump, _ in self._pumps]
        await self.report.restore()
        try:
            async with asyncio.TaskGroup() as tasks:
                for pump in pumps:
                    tasks.create_task(pump.run(), name=f"uplink.{pump.name}")
                tasks.create_task(self.report.run(*pumps), name=f"uplink.{self.report.link}.report")
        finally:
            await self.stop()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a link is to run. `settings` is all of the configuration that concerns it: unchanged, nothing happens."""

    settings: object
    enabled: bool
    sink: Callable[[], Sink]
    latency_s: int = 0
    backlog: Backlog = OLDEST_FIRST
    bytes_per_day: int = 0
    zone: tzinfo = UTC
    """The site's: a day's budget ends at its midnight."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """One link and how it follows the configuration; see `_history` for an example."""

    link: Link
    plan: Callable[[Document], Plan]


async def main(context: Context) -> None:
    """Run until cancelled."""
    _look_for_cycles_seldom()
    sys.setswitchinterval(TURN_S)
    store = Store(context.settings.database_url, context.bus.gateway)
    mqtt, ftp = MqttInForce(), FtpLink(context)
    courtesy = Courtesy()
    wirings = (
        _history(context, store, courtesy),
        _mqtt(context, mqtt, ftp, courtesy),
        _ftp(context, ftp, courtesy),
    )
    own = mqtt_answers(context, lambda: mqtt.settings, wirings[1].link.send_now)
    reports = [wiring.link.report for wiring in wirings]
    await context.bus.serve(*_answers(store, reports), *own, *ftp.answers())
    try:
        async with asyncio.TaskGroup() as tasks:
            await _configure(context, wirings, tasks)
    finally:
        await store.close()
        ftp.close()


def _look_for_cycles_seldom() -> None:
    """A batch is some 50,000 objects without a cycle; looking for one each 700 takes a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)


def _history(context: Context, store: Store, courtesy: Courtesy) -> Wiring:
    bus, report = context.bus, LinkReport(context.bus, "history")
    link = Link(
        report,
        (Pump(bus, "history", TELEMETRY, PLANT, report=report, fetch=TO_HISTORY, courtesy=courtesy), False),
        (Pump(bus, "history-events", EVENT, report=report, fetch=TO_DISK, courtesy=courtesy), False),
    )

    def plan(document: Document) -> Plan:
        historic = document.historic
        store.keep(Keeping.of(historic, document.timezone))

        def sink() -> Sink:
            # The schema is brought up to date even when nothing is stored: what is there can be asked for.
            own = HistorySink(store, report, bus)
            return own if historic.enabled else Closed(own)

        return Plan(historic, historic.enabled, sink, 0)

    return Wiring(link, plan)


def _mqtt(context: Context, in_force: MqttInForce, ftp: FtpLink, courtesy: Courtesy) -> Wiring:
    bus, report = context.bus, LinkReport(context.bus, "mqtt")
    link = Link(
        report,
        (Pump(bus, "mqtt", TELEMETRY, PLANT, report=report, fetch=TO_BROKER, courtesy=courtesy), True),
        (Pump(bus, "mqtt-events", EVENT, report=report, fetch=TO_BROKER, courtesy=courtesy), False),
    )

    def plan(document: Document) -> Plan:
        mqtt = in_force.settings = document.mqtt

        def sink() -> Sink:
            return mqtt_sink(mqtt, context, report, link.send_now, ftp.offers())

        return Plan(
            (mqtt, document.timezone),
            mqtt.enabled,
            sink,
            mqtt.latency_s,
            mqtt.backlog,
            mqtt.backlog.bytes_per_day,
            ZoneInfo(document.timezone),
        )

    return Wiring(link, plan)


def _ftp(context: Context, ftp: FtpLink, courtesy: Courtesy) -> Wiring:
    bus = context.bus
    link = Link(
        ftp.report,
        (Pump(bus, "ftp", TELEMETRY, PLANT, report=ftp.report, fetch=TO_DISK, courtesy=courtesy), False),
    )

    def plan(document: Document) -> Plan:
        wanted = ftp.plan_of(document)
        return Plan(
            wanted,
            wanted.is_enabled,
            lambda: ftp.sink(wanted),
            bytes_per_day=wanted.ftp.backlog.bytes_per_day,
            zone=ZoneInfo(document.timezone),
        )

    return Wiring(link, plan)


async def _configure(context: Context, wirings: Sequence[Wiring], tasks: asyncio.TaskGroup) -> None:
    """Apply each configuration to the links it concerns; the links run from the first one on."""
    applied: dict[str, object] = {}
    async for snapshot in snapshots(context.bus, context.box, SECTIONS):
        is_first = not applied
        for wiring in wirings:
            plan, name = wiring.plan(snapshot.document), wiring.link.report.link
            if is_first or plan.settings != applied[name]:
                applied[name] = plan.settings
                await wiring.link.use(plan.sink(), plan)
        context.revisions.update(
            {name: snapshot.revisions[name] for name in SECTIONS if name in snapshot.revisions}
        )
        if is_first:
            for wiring in wirings:
                tasks.create_task(wiring.link.run(), name=f"uplink.{wiring.link.report.link}")


class Closed(Discard):
    """History that is switched off: what it holds can still be asked for."""

    def __init__(self, history: Sink) -> None:
        self._history = history

    async def run(self) -> None:
        await self._history.run()


def _answers(
    store: Store, reports: Sequence[LinkReport]
) -> tuple[Answer[HistoryQuery, HistoryAnswer], Answer[GapsQuery, GapsAnswer], Answer[LedgerQuery, Ledger]]:
    async def history(query: HistoryQuery, _: Command[HistoryQuery]) -> HistoryAnswer:
        if query.end <= query.start:
            raise RefusedError("the range ends before it begins", code="bad-range", field="to")
        return await store.history(query)

    async def gaps(query: GapsQuery, _: Command[GapsQuery]) -> GapsAnswer:
        if query.end <= query.start:
            raise RefusedError("the range ends before it begins", code="bad-range", field="to")
        return await store.gaps(query)

    async def ledger(_: LedgerQuery, __: Command[LedgerQuery]) -> Ledger:
        stored = await store.ledger()
        links = [report.book for report in reports if report.book is not None]
        return stored.model_copy(update={"links": links})

    return Answer(HISTORY, history), Answer(GAPS, gaps), Answer(LEDGER, ledger)
