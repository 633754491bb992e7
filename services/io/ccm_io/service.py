"""Composition root of io: the outputs, the LEDs and the button of one gateway, on the bus.

io does not decide what shall be switched: it is told, and sees to it that nothing stays on unwatched.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from ccm_contracts.channels import OUTPUT_STATE
from ccm_contracts.messages import Command
from ccm_contracts.state import OutputState
from ccm_contracts.types import format_ts
from ccm_contracts.verb_table import PRESS_BUTTON, SET_MODE, SET_OUTPUT
from ccm_contracts.verbs.bus_reader import SetMode
from ccm_contracts.verbs.io import ButtonDone, OutputDone, PressButton, SetOutput
from ccm_io.bank import Bank
from ccm_io.button import MEANING, Action, action_of
from ccm_io.front import FrontPanel
from ccm_io.hal import open_hal
from ccm_io.hal.base import Button
from ccm_io.store import Store
from ccm_kit.bus import Answer, Bus
from ccm_kit.clock import SystemClock
from ccm_kit.config_watch import Snapshot, snapshots
from ccm_kit.errors import CcmError
from ccm_kit.service import Context
from ccm_kit.settings import Settings

log = logging.getLogger(__name__)

ALONE_AFTER_S: Final = 2.0
"""Longer than an ordinary start needs, so that what happens at it is reported on the bus."""
MOST_PRESSES: Final = 4
"""Presses that wait for an answer; one more is dropped."""
LONGEST_PRESS_S: Final = 3600.0
"""A press that claims more is noise."""


async def alone(settings: Settings, connected: asyncio.Event) -> None:
    """Guard the outputs while there is no bus yet; a bus that comes within `ALONE_AFTER_S` finds them untouched.

    Raises `BadInputError` when there is no such hardware backend.
    """
    hal = open_hal(settings)
    bank = Bank(hal.outputs, _store(settings), SystemClock(), LogReport())
    try:
        if await _is_set_within(connected, ALONE_AFTER_S):
            return
        bank.resume()
        bank.look(is_bus_up=False)
        while not await _is_set_within(connected, bank.wait_s()):
            bank.look(is_bus_up=False)
    except asyncio.CancelledError:
        bank.stop()
        raise


async def main(context: Context) -> None:
    """Run until cancelled; then the outputs go to their safe state."""
    io = Io(context)
    try:
        await io.run()
    finally:
        io.bank.stop()


class Io:
    """Everything that io does on the bus."""

    def __init__(self, context: Context) -> None:
        hal = open_hal(context.settings)
        self.bank = Bank(hal.outputs, _store(context.settings), context.clock, BusReport(context.bus))
        self._context = context
        self._bus = context.bus
        self._button = hal.button
        self._front = FrontPanel(context.bus, hal)
        self._wake = asyncio.Event()
        self._configured = asyncio.Event()
        self._mode_presses: asyncio.Queue[str] = asyncio.Queue(MOST_PRESSES)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_config(), name="io.config")
            tasks.create_task(self._watch(), name="io.watch")
            tasks.create_task(self._front.run(), name="io.front")
            tasks.create_task(self._feel(self._button), name="io.button")
            tasks.create_task(self._change_modes(), name="io.mode")

    async def _follow_config(self) -> None:
        context, serves = self._context, False
        async for snapshot in snapshots(context.bus, context.box, ("gateway", "outputs")):
            self._apply(snapshot)
            if not serves:
                await self._bus.serve(Answer(SET_OUTPUT, self._set), Answer(PRESS_BUTTON, self._press))
                serves = True

    def _apply(self, snapshot: Snapshot) -> None:
        features = snapshot.document.gateway.features
        self.bank.configure(features, snapshot.document.outputs)
        self._front.features = features
        self._front.refresh()
        self._configured.set()
        self._context.revisions.clear()
        self._context.revisions.update(snapshot.revisions)

    async def _watch(self) -> None:
        if not await _is_set_within(self._configured, ALONE_AFTER_S):
            self.bank.resume()
        while True:
            self._wake.clear()
            self.bank.look(is_bus_up=self._bus.is_connected)
            await _is_set_within(self._wake, self.bank.wait_s())

    async def _set(self, args: SetOutput, command: Command[SetOutput]) -> OutputDone:
        state = self.bank.command(args, command.issued_by)
        self._wake.set()
        return OutputDone(state=state)

    async def _press(self, args: PressButton, command: Command[PressButton]) -> ButtonDone:
        return ButtonDone(action=self._pressed(args.duration_s, command.issued_by))

    async def _feel(self, button: Button) -> None:
        while True:
            duration_s = await button.pressed()
            if 0 < duration_s <= LONGEST_PRESS_S:
                self._pressed(duration_s, "finger")

    def _pressed(self, duration_s: float, by: str) -> Action:
        action = action_of(duration_s)
        text = f"button pressed for {duration_s:g} s by {by}: {MEANING[action]}"
        if action == "synchronisation":
            self._ask_for_mode(by)
        elif action != "none":
            text += "; this version reports the press, but does not act on it"
        self._bus.event("button-pressed", "info", text, action=action, duration_s=duration_s, by=by)
        return action

    def _ask_for_mode(self, by: str) -> None:
        if self._mode_presses.full():
            log.warning("press dropped: the last ones are not answered yet")
        else:
            self._mode_presses.put_nowait(by)

    async def _change_modes(self) -> None:
        """Hand presses of the button to who owns the mode, one after the other."""
        while True:
            by = await self._mode_presses.get()
            try:
                await self._bus.call(SET_MODE, SetMode(mode="toggle"), issued_by=f"io:{by}")
            except CcmError as err:
                text = f"the button did not change the mode: {err.message}"
                self._bus.event("mode-refused", "warning", text, code=err.code, by=by)


class BusReport:
    """Tells the bus: latest state, and an event for each change and each fault."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def state(self, state: OutputState) -> None:
        self._bus.state(OUTPUT_STATE, state, id=state.output)

    def changed(self, state: OutputState, before: float, by: str) -> None:
        text = f"{state.output}: {before:g} -> {state.value:g}, {state.reason}"
        if state.until is not None:
            text += f", until {format_ts(state.until)}"
        facts = {"output": state.output, "before": before, "after": state.value}
        facts |= {"by": by, "why": state.reason, "until": format_ts(state.until) if state.until else None}
        log.info("output changed", extra=facts)
        self._bus.event("output-changed", "info", text, **facts)

    def failed(self, state: OutputState) -> None:
        facts = {"output": state.output, "fault": state.fault}
        log.error("output fault", extra=facts)
        self._bus.event("output-fault", "error", f"{state.output}: {state.fault}", **facts)


class LogReport:
    """Tells the log only: there is no bus yet."""

    def state(self, state: OutputState) -> None:
        log.debug("output", extra={"output": state.output, "value": state.value})

    def changed(self, state: OutputState, before: float, by: str) -> None:
        facts = {"output": state.output, "before": before, "after": state.value, "by": by}
        log.warning("output changed without a bus", extra={**facts, "why": state.reason})

    def failed(self, state: OutputState) -> None:
        log.error("output fault", extra={"output": state.output, "fault": state.fault})


async def _is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    return event.is_set()


def _store(settings: Settings) -> Store:
    return Store(settings.data_dir / "io" / "outputs.json")
