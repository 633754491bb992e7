"""The front panel on the bus: gathers what the LEDs show from the other services' states, and shows it.

Does not decide patterns: `leds.py` does. What a service said counts only while the service lives.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Final

from ccm_contracts.channels import LED_STATE, LINK_STATE, MODE_STATE, SERVICE_STATE
from ccm_contracts.config.site import Feature
from ccm_contracts.state import LedState, LinkState, ModeName
from ccm_io.hal.base import Hal
from ccm_io.leds import Front, lights_of
from ccm_kit.bus import Bus

log = logging.getLogger(__name__)

DATA_SERVER: Final = "mqtt"
INTERNET_LINKS: Final = frozenset({"mqtt", "ftp"})
"""An uplink that is connected shows that there is a network; io does not look at interfaces itself yet."""
SILENT_S: Final = 15.0
"""A service that has not announced itself for so long is taken for dead (`ServiceState`)."""
LOOK_S: Final = 5.0
FLICKER_S: Final = 2.0
"""The blue LED flickers for so long when a device got its unit."""


class FrontPanel:
    """Three LEDs, kept up to date."""

    def __init__(self, bus: Bus, hal: Hal) -> None:
        self.features: Collection[Feature] = ()
        self._bus = bus
        self._leds = hal.leds
        self._links: dict[str, LinkState] = {}
        self._mode: ModeName = "reading"
        self._assigned: set[int] = set()
        self._flicker_until_s = 0.0
        self._announced: dict[str, datetime] = {}
        self._shown: dict[str, LedState] = {}
        self._refused: set[str] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_links(), name="io.front.links")
            tasks.create_task(self._follow_mode(), name="io.front.mode")
            tasks.create_task(self._follow_services(), name="io.front.services")
            tasks.create_task(self._show(), name="io.front.show")

    def refresh(self) -> None:
        """Look again, now."""
        self._wake.set()

    async def _follow_links(self) -> None:
        async for seen in self._bus.follow(LINK_STATE):
            if seen.message is not None:
                self._links[seen.message.link] = seen.message
            elif not seen.caught_up:
                self._links.pop(seen.ids.get("id", ""), None)
            self.refresh()

    async def _follow_mode(self) -> None:
        is_live = False
        async for seen in self._bus.follow(MODE_STATE):
            is_live = is_live or seen.caught_up
            if seen.message is not None:
                self._mode = seen.message.mode
                if is_live and set(seen.message.assigned) - self._assigned:
                    self._flicker_until_s = self._bus.clock.monotonic() + FLICKER_S
                self._assigned = set(seen.message.assigned)
            self.refresh()

    async def _follow_services(self) -> None:
        async for seen in self._bus.follow(SERVICE_STATE):
            if seen.message is not None:
                self._announced[seen.message.service] = seen.message.ts

    async def _show(self) -> None:
        while True:
            self._wake.clear()
            for light in lights_of(self._front()):
                self._light(light)
            with suppress(TimeoutError):
                async with asyncio.timeout(FLICKER_S if self._flickers else LOOK_S):
                    await self._wake.wait()

    def _front(self) -> Front:
        connected = {link.link for link in self._links.values() if link.enabled and link.connected}
        if not self._lives("uplink"):
            connected = set()
        return Front(
            mode=self._mode if self._lives("bus-reader") else "reading",
            has_assigned=self._flickers,
            has_internet=bool(connected & INTERNET_LINKS),
            has_server=DATA_SERVER in connected,
            modem="off" if "modem" in self.features else "absent",
        )

    @property
    def _flickers(self) -> bool:
        return self._bus.clock.monotonic() < self._flicker_until_s

    def _lives(self, service: str) -> bool:
        seen = self._announced.get(service)
        return seen is not None and (self._bus.clock.now() - seen).total_seconds() <= SILENT_S

    def _light(self, light: LedState) -> None:
        if self._shown.get(light.led) == light:
            return
        try:
            self._leds[light.led].show(light.pattern)
        except OSError as err:
            if light.led not in self._refused:
                log.error("LED fault", extra={"led": light.led, "error": str(err)})
            self._refused.add(light.led)
            return
        self._refused.discard(light.led)
        self._shown[light.led] = light
        self._bus.state(LED_STATE, light, id=light.led)
