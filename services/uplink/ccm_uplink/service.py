"""Composition root: builds the links from the configuration and replaces their sinks when it changes."""

import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from ccm_contracts.channels import EVENT, LEDGER_STATE, PLANT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_contracts.messages import Command
from ccm_contracts.state import LinkLedger
from ccm_contracts.verb_table import GAPS, HISTORY, LEDGER
from ccm_contracts.verbs.uplink import GapsAnswer, GapsQuery, HistoryAnswer, HistoryQuery, Ledger, LedgerQuery
from ccm_kit.bus import Answer
from ccm_kit.config_watch import snapshots
from ccm_kit.errors import BusDownError, RefusedError
from ccm_kit.service import Context
from ccm_uplink.courtesy import Courtesy
from ccm_uplink.family import Fetch
from ccm_uplink.ftp_link import FtpLink
from ccm_uplink.history.retention import Keeping
from ccm_uplink.history.store import Store
from ccm_uplink.lease import Lease, Owner
from ccm_uplink.link import LinkReport
from ccm_uplink.mqtt_link import MqttInForce, mqtt_answers, mqtt_sink
from ccm_uplink.pump import Pump
from ccm_uplink.sinks.base import Discard, Sink
from ccm_uplink.sinks.history import HistorySink, prepare
from ccm_uplink.sinks.mqtt_place import Place
from ccm_uplink.sinks.mqtt_recent import Recent
from ccm_uplink.wiring import Link, Plan, Wiring

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


@dataclass(frozen=True, slots=True)
class Process:
    """What the links of this process share."""

    context: Context
    lease: Lease
    courtesy: Courtesy

    async def book(self, report: LinkReport) -> LinkLedger | None:
        """The link's ledger, kept here or by the uplink that delivers."""
        if self.lease.is_fresh:
            return report.book
        with suppress(BusDownError):
            return await self.context.bus.last(LEDGER_STATE, id=report.link)
        return None

    async def serve_when_held(self, *answers: Answer[Any, Any]) -> None:
        """Answer what only the uplink that delivers can."""
        while True:
            await self.lease.held()
            stop = await self.context.bus.serve(*answers)
            await self.lease.lost()
            await stop()


async def main(context: Context) -> None:
    """Run until cancelled."""
    _look_for_cycles_seldom()
    sys.setswitchinterval(TURN_S)
    store = Store(context.settings.database_url, context.bus.gateway)
    mqtt, ftp = MqttInForce(), FtpLink(context)
    shared = Process(context, Lease(context.bus, Owner(context.settings.data_dir)), Courtesy())
    wirings = (_history(shared, store), _mqtt(shared, mqtt, ftp), _ftp(shared, ftp))
    reports = [wiring.link.report for wiring in wirings]
    mqtt_test, send_now = mqtt_answers(context, lambda: mqtt.settings, wirings[1].link.send_now)
    ftp_test, ftp_send = ftp.answers()
    await context.bus.serve(*_answers(shared, store, reports), mqtt_test, ftp_test)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shared.lease.run(), name="uplink.lease")
            tasks.create_task(shared.serve_when_held(send_now, ftp_send), name="uplink.serve")
            await _configure(context, wirings, tasks)
    finally:
        await shared.lease.give_back()
        await store.close()
        ftp.close()


def _look_for_cycles_seldom() -> None:
    """A batch is some 50,000 objects without a cycle; looking for one each 700 takes a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)


def _history(shared: Process, store: Store) -> Wiring:
    bus, courtesy = shared.context.bus, shared.courtesy
    report = LinkReport(bus, "history")
    link = Link(
        report,
        shared.lease,
        (Pump(bus, "history", TELEMETRY, PLANT, report=report, fetch=TO_HISTORY, courtesy=courtesy), False),
        (Pump(bus, "history-events", EVENT, report=report, fetch=TO_DISK, courtesy=courtesy), False),
    )

    def plan(document: Document) -> Plan:
        historic = document.historic
        store.keep(Keeping.of(historic, document.timezone))

        def sink() -> Sink:
            # The schema is brought up to date even when nothing is stored: what is there can be asked for.
            own = HistorySink(store, report, bus, shared.lease)
            return own if historic.enabled else Closed(own)

        return Plan(historic, historic.enabled, sink, 0)

    return Wiring(link, plan)


def _mqtt(shared: Process, in_force: MqttInForce, ftp: FtpLink) -> Wiring:
    context, bus, courtesy = shared.context, shared.context.bus, shared.courtesy
    report = LinkReport(bus, "mqtt", counts="wire")
    link = Link(
        report,
        shared.lease,
        (Pump(bus, "mqtt", TELEMETRY, PLANT, report=report, fetch=TO_BROKER, courtesy=courtesy), True),
        (Pump(bus, "mqtt-events", EVENT, report=report, fetch=TO_BROKER, courtesy=courtesy), False),
    )

    place = Place(bus, report, shared.lease, Recent(bus.clock.monotonic), context.settings.data_dir)

    def plan(document: Document) -> Plan:
        mqtt = in_force.settings = document.mqtt

        def sink() -> Sink:
            return mqtt_sink(mqtt, context, place, link.send_now, ftp.offers())

        return Plan(
            (mqtt, document.timezone),
            mqtt.enabled,
            sink,
            mqtt.latency_s,
            mqtt.backlog,
            mqtt.batch,
            mqtt.backlog.bytes_per_day,
            ZoneInfo(document.timezone),
        )

    return Wiring(link, plan)


def _ftp(shared: Process, ftp: FtpLink) -> Wiring:
    bus, courtesy = shared.context.bus, shared.courtesy
    pump = Pump(bus, "ftp", TELEMETRY, PLANT, report=ftp.report, fetch=TO_DISK, courtesy=courtesy)
    ftp.horizon.of(pump)
    link = Link(ftp.report, shared.lease, (pump, False))

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
    shared: Process, store: Store, reports: Sequence[LinkReport]
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
        links = [book for report in reports if (book := await shared.book(report)) is not None]
        return stored.model_copy(update={"links": links})

    return Answer(HISTORY, history), Answer(GAPS, gaps), Answer(LEDGER, ledger)
