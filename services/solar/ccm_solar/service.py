"""Composition root of solar: follows readings and the configuration, publishes each plant's balance.

Does not talk to devices and keeps nothing on disk: after a restart the bus gives each device's newest reading.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Final

from ccm_contracts.channels import PLANT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Reading
from ccm_contracts.types import format_ts
from ccm_kit.backoff import Backoff
from ccm_kit.config_watch import snapshots
from ccm_kit.errors import BusDownError
from ccm_kit.service import Context
from ccm_solar.plant import INTERVAL_S, Held, Moment, PlantWatch, Turn

log = logging.getLogger(__name__)

MOST_DEVICES: Final = 1000
"""Devices whose newest reading is held; the readings of one more are left out."""


async def main(context: Context) -> None:
    """Run until cancelled."""
    await Solar(context).run()


class Solar:
    """All plants of one gateway."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bus = context.bus
        self._readings: dict[str, Held] = {}
        self._watches: dict[str, PlantWatch] = {}
        self._is_current = False
        """Whether the newest reading of every device has been seen."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_config(), name="solar.config")
            tasks.create_task(self._follow_readings(), name="solar.readings")
            tasks.create_task(self._publish(), name="solar.publish")

    async def _follow_config(self) -> None:
        context = self._context
        async for snapshot in snapshots(context.bus, context.box, ("plants", "devices")):
            await self._apply(snapshot.document)
            context.revisions.clear()
            context.revisions.update(snapshot.revisions)
            self._wake.set()

    async def _apply(self, document: Document) -> None:
        poll_s = {device.id: device.poll_s for device in document.devices if device.enabled}
        watches = {plant.id: await self._watch(plant, poll_s) for plant in document.plants}
        if watches.keys() != self._watches.keys():
            log.info("plants in force", extra={"plants": sorted(watches)})
        self._watches = watches

    async def _watch(self, plant: Plant, poll_s: dict[str, float]) -> PlantWatch:
        """The running watch when nothing changed for it, otherwise a new one whose time goes on."""
        running = self._watches.get(plant.id)
        fresh = PlantWatch(self._bus.gateway, plant, poll_s, started=self._moment())
        if running and running.plant == plant and running.poll_s == fresh.poll_s:
            return running
        fresh.last_ts = running.last_ts if running else await self._last_ts(plant.id)
        fresh.is_alarmed = running.is_alarmed if running else False
        for device in self._readings:
            fresh.notice(device)
        return fresh

    async def _last_ts(self, plant: str) -> datetime | None:
        backoff = Backoff()
        while True:
            try:
                last = await self._bus.last(PLANT, plant=plant)
            except BusDownError:
                await asyncio.sleep(backoff.next())
            else:
                return last.ts if last else None

    async def _follow_readings(self) -> None:
        async for seen in self._bus.follow(TELEMETRY):
            if seen.caught_up:
                self._is_current = True
            elif seen.message is not None:
                self._take(seen.message)
            self._wake.set()

    def _take(self, reading: Reading) -> None:
        if reading.device not in self._readings and len(self._readings) >= MOST_DEVICES:
            return
        self._readings[reading.device] = Held(reading, self._context.clock.monotonic())
        for watch in self._watches.values():
            watch.notice(reading.device)

    async def _publish(self) -> None:
        while True:
            self._wake.clear()
            if self._is_current:
                for watch in self._watches.values():
                    self._publish_one(watch)
            await self._rest()

    def _publish_one(self, watch: PlantWatch) -> None:
        at = self._moment()
        balance = watch.balance(self._readings, at)
        if balance is not None:
            msg_id = f"{balance.plant}:{format_ts(balance.ts)}"
            self._bus.say(PLANT, balance, msg_id=msg_id, plant=balance.plant)
        turn = watch.turn(at.mono_s)
        if turn is not None:
            self._report(watch.plant, turn)

    def _report(self, plant: Plant, turn: Turn) -> None:
        facts = {"plant": plant.id, "missing": list(turn.missing)}
        if turn.missing:
            text = f"plant {plant.id}: no fresh power from {', '.join(turn.missing)}"
            log.warning("plant incomplete", extra=facts)
            self._bus.event("plant-incomplete", "warning", text, **facts)
        else:
            log.info("plant complete", extra=facts)
            self._bus.event("plant-complete", "info", f"plant {plant.id}: all devices are back", **facts)

    async def _rest(self) -> None:
        """Until a reading or a configuration comes; but not past the next balance or the next look at ages."""
        wait_s = INTERVAL_S
        if self._is_current:
            mono_s = self._context.clock.monotonic()
            wait_s = min((watch.wait_s(mono_s) for watch in self._watches.values()), default=INTERVAL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    def _moment(self) -> Moment:
        return Moment(self._context.clock.now(), self._context.clock.monotonic())
