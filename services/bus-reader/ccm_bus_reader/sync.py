"""Synchronisation mode (manual 6.1.2, 6.3.2): a device whose button is pressed gets the next free unit.

Polling goes on between two looks. Ends by itself; a restart begins in reading mode. The configuration is not its own:
what was assigned is told in the mode's state, and the configuration's owner adds it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any, Final

from ccm_bus_reader.assign import ANY_SETTING, Heard, give, is_free, listen
from ccm_bus_reader.catalogue import Catalog
from ccm_bus_reader.model import Profile
from ccm_bus_reader.native import Assignment
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.roll import Roll
from ccm_bus_reader.search_line import PollerAccess
from ccm_bus_reader.signature import signatures_of
from ccm_bus_reader.survey import Surveyor, Talk, Wire
from ccm_contracts.channels import MODE_STATE
from ccm_contracts.config.document import Document
from ccm_contracts.state import Assigned, ModeState
from ccm_contracts.verbs.bus_reader import SetMode
from ccm_kit.bus import Bus
from ccm_kit.clock import Clock
from ccm_kit.errors import CcmError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

LONGEST_S: Final = 600.0
"""Without an end by hand the mode ends after so long."""
LOOK_S: Final = 0.4
"""Between two looks for a device that waits."""
PATIENCE_S: Final = 0.3
"""For a question to a device that has its unit."""


class Synchronisation:
    """The mode of one gateway. `pollers` and `catalog` are those in force now."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        pollers: Callable[[], dict[str, Poller]],
        catalog: Callable[[], Catalog],
        is_scanning: Callable[[], bool],
        longest_s: float = LONGEST_S,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._pollers = pollers
        self._catalog = catalog
        self._is_scanning = is_scanning
        self._longest_s = longest_s
        self._roll = Roll()
        self._state = ModeState(mode="reading", since=clock.now())
        self._task: asyncio.Task[None] | None = None
        self._how: Assignment | None = None
        self._profiles: list[Profile] = []
        self._starting = False
        self.is_configured = False
        """Whether the lines are those of the configuration yet."""

    @property
    def is_on(self) -> bool:
        return self._state.mode == "synchronisation" or self._starting

    async def resume(self) -> None:
        """Reading mode; what an earlier run assigned and nobody has added yet is kept. Raises `BusDownError`."""
        last = await self._bus.last(MODE_STATE, id=self._bus.service)
        pending = [each for each in last.devices if each.device is None] if last is not None else []
        self._say(ModeState(mode="reading", since=self._clock.now(), devices=pending))

    def apply(self, document: Document) -> None:
        """The configuration changed: which devices it has by now."""
        self._roll.apply(document)
        devices = self._roll.marked(self._state.devices)
        if devices != self._state.devices:
            self._say(self._state.model_copy(update={"devices": devices}))

    async def set_mode(self, args: SetMode, _: Any) -> ModeState:
        """Raises `RefusedError`: `scan-running`, `no-native-line`, `no-assignment`, `unit-used`."""
        is_wanted = not self.is_on if args.mode == "toggle" else args.mode == "synchronisation"
        if not is_wanted:
            await self.stop()
        elif not self.is_on:
            await self._start()
        return self._state

    async def stop(self) -> None:
        """Back to reading mode; a device that is being given its unit gets it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    # --- the mode ----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        if not self.is_configured:
            raise UnavailableError("the configuration is not known yet", code="starting")
        if self._is_scanning():
            raise RefusedError("a search for devices is running: cancel it first", code="scan-running")
        lines = [line for line in self._roll.native_lines if line in self._pollers()]
        if not lines:
            text = "there is no native line: give a port the role native"
            raise RefusedError(text, code="no-native-line", field="ports")
        self._starting = True
        try:
            profiles = await asyncio.to_thread(self._catalog().models)
        finally:
            self._starting = False
        self._profiles = [each for each in profiles if each.native and each.assignment is not None]
        if not self._profiles:
            raise RefusedError("no native profile says how a unit is given", code="no-assignment")
        how = self._how = self._profiles[0].assignment
        assert how is not None
        user = next((who for line in lines if (who := self._roll.holder(line, how.unit))), None)
        if user is not None:
            text = f"{user} has unit {how.unit}, at which devices wait for theirs: give it another"
            raise RefusedError(text, code="unit-used", field="devices")
        now = self._clock.now()
        pending = [each for each in self._state.devices if each.device is None]
        self._say(
            ModeState(
                mode="synchronisation",
                since=now,
                until=now + timedelta(seconds=self._longest_s),
                lines=lines,
                devices=pending,
            )
        )
        text = f"synchronisation mode: press the button of a native device on {', '.join(lines)}"
        self._bus.event("synchronisation-started", "info", text, lines=lines)
        self._task = asyncio.create_task(self._run(lines, how), name="bus-reader.synchronisation")

    async def _run(self, lines: list[str], how: Assignment) -> None:
        why = "was left"
        try:
            async with asyncio.timeout(self._longest_s):
                while True:
                    for line in lines:
                        await self._look(line, how)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            why = f"ended by itself after {self._longest_s / 60:g} minutes"
        finally:
            self._task = None
            count = len(self._state.assigned)
            self._say(
                self._state.model_copy(
                    update={
                        "mode": "reading",
                        "since": self._clock.now(),
                        "until": None,
                        "lines": [],
                        "problem": None,
                    }
                )
            )
            text = f"synchronisation mode {why}: {count} devices got a unit"
            self._bus.event("synchronisation-ended", "info", text, assigned=count)

    async def _look(self, line: str, how: Assignment) -> None:
        poller = self._pollers().get(line)
        if poller is None:
            return
        access = PollerAccess(poller, "synchronisation")
        try:
            async with access.turn(ANY_SETTING) as wire:
                heard = await listen(wire, how)
                if heard.kind == "several":
                    self._problem(
                        "collision", line, "two devices wait at once: press only one button at a time"
                    )
                elif heard.kind == "one":
                    await _to_the_end(self._assign(wire, line, poller, how, heard))
        except CcmError as err:
            self._problem(err.code, line, err.message)
        except Exception as err:  # border: one device must not end the mode
            log.exception("synchronisation failed", extra={"line": line})
            self._problem("internal", line, f"internal error: {err!r}")

    async def _assign(self, wire: Wire, line: str, poller: Poller, how: Assignment, heard: Heard) -> None:
        unit = await self._unit_for(wire, line, poller, how, heard.serial)
        await give(wire, how, heard, unit)
        surveyor = Surveyor(signatures_of(self._profiles), self._find, WireCost.serial(9600))
        candidates = await surveyor.recognise(Talk(wire, unit, PATIENCE_S))
        model = candidates[0].model if candidates else self._profiles[0].id
        assigned = Assigned(line=line, unit=unit, serial=heard.serial, model=model, at=self._clock.now())
        others = [each for each in self._state.devices if each.serial != heard.serial]
        devices = self._roll.marked([*others, assigned])[-Roll.MOST_TOLD :]
        units = sorted({*self._state.assigned, unit})
        self._say(self._state.model_copy(update={"assigned": units, "devices": devices, "problem": None}))
        text = f"line {line}: {model} {heard.serial} has unit {unit} now"
        self._bus.event("assigned", "info", text, line=line, unit=unit, serial=heard.serial, model=model)

    async def _unit_for(self, wire: Wire, line: str, poller: Poller, how: Assignment, serial: str) -> int:
        """Its own if it is known, else the lowest that nobody has. Raises `RefusedError` (`no-unit`)."""
        live = {device.text("serial"): device.config.unit for device in poller.devices.values()}
        known = self._roll.unit_of(line, serial, self._state.devices) or live.get(serial)
        if known is not None:
            return known
        if self._roll.principals(self._state.devices) >= how.most:
            text = f"{how.most} native devices are assigned already, the most on one cable"
            raise RefusedError(text, code="no-unit")
        taken = self._roll.units(line, self._state.devices)
        for unit in _units(how):
            if unit not in taken and await is_free(wire, how, unit):
                return unit
        raise RefusedError(f"no unit from {how.first} to {how.last} is free", code="no-unit")

    def _find(self, model: str) -> Profile:
        return next(each for each in self._profiles if each.id == model)

    def _problem(self, code: str, line: str, text: str) -> None:
        """Told when it changes."""
        if self._state.mode != "synchronisation" or self._state.problem == text:
            return
        self._say(self._state.model_copy(update={"problem": text}))
        self._bus.event("synchronisation-problem", "warning", f"line {line}: {text}", line=line, code=code)

    def _say(self, state: ModeState) -> None:
        self._state = state
        self._bus.state(MODE_STATE, state, id=self._bus.service)


async def _to_the_end(exchange: Coroutine[Any, Any, None]) -> None:
    """A cancellation must not come between the write and its confirmation, nor give the line back before."""
    task = asyncio.create_task(exchange, name="bus-reader.synchronisation.assign")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _units(how: Assignment) -> Iterable[int]:
    return range(how.first, how.last + 1)
