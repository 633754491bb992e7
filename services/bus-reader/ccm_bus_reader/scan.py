"""One search for devices on one line: goes through the plan, in turns, and keeps what it finds.

Between two turns the line's devices are read as ever. Short time-outs learn from what answers; who answers too late is
asked again with patience. Knows no bus and no ports: `Access` gives it the line.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from ccm_bus_reader.scan_plan import NETWORK, Progress, Step
from ccm_bus_reader.survey import SLOW_S, SLOWEST_FACTOR, Surveyor, Wire
from ccm_contracts.scan_state import FoundDevice, LineSetting
from ccm_kit.clock import Clock

TURN_S: Final = 3.0
"""A search has the line for so long at a time, and a started unit beyond it."""
BREATH_S: Final = 1.0
"""Then the line's devices are read for so long."""
FIRST_S: Final = 0.25
"""Wait for a unit's first byte while nothing has answered yet."""
SHORTEST_S: Final = 0.12
"""Once something answers: not less, for adapters and slow devices."""
NETWORK_S: Final = 1.0
"""Through a gateway, which asks in its own time."""
OPENERS_EACH: Final = 2


class Access(Protocol):
    """The line, for a turn."""

    def turn(self, setting: LineSetting) -> AbstractAsyncContextManager[Wire]:
        """The line alone with these parameters. Raises `CcmError`."""


@dataclass(slots=True)
class Scan:
    """`run` to the end, or until cancelled; the rest can be read at any time."""

    steps: Sequence[Step]
    surveyor: Surveyor
    access: Access
    clock: Clock
    configured: Mapping[int, str] = field(default_factory=dict)
    """Devices of the line by unit."""
    tell: Callable[[], None] = lambda: None
    """Called after each unit and each find."""
    found: dict[int, FoundDevice] = field(default_factory=dict)
    setting: LineSetting = NETWORK
    unit: int | None = None
    _slowest_s: float | None = None
    _suspects: dict[int, FoundDevice] = field(default_factory=dict)
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.steps, OPENERS_EACH * FIRST_S)
        self.setting = next((step.setting for step in self.steps), NETWORK)

    @property
    def results(self) -> list[FoundDevice]:
        """By unit; a unit of which only garbled replies came is a conflict."""
        return [each for _, each in sorted((self._suspects | self.found).items())]

    async def run(self) -> None:
        """Raises `CcmError` when the line is lost."""
        for step in self.steps:
            self.setting = step.setting
            waiting = list(step.units)
            while waiting:
                async with self.access.turn(step.setting) as wire:
                    await self._turn(wire, step, waiting)
                if not self._is_last(step, waiting):
                    await asyncio.sleep(BREATH_S if self.configured else 0.0)
        self.unit = None
        self.tell()

    def _is_last(self, step: Step, waiting: list[int]) -> bool:
        return step is self.steps[-1] and not waiting

    async def _turn(self, wire: Wire, step: Step, waiting: list[int]) -> None:
        ends_at = self.clock.monotonic() + TURN_S
        while waiting and self.clock.monotonic() < ends_at:
            unit = waiting.pop(0)
            if unit in self.found:
                self.progress.skipped()
                continue
            self.unit = unit
            self.tell()
            began = self.clock.monotonic()
            await self._visit(wire, unit, self._timeout_s(), is_thorough=step.is_thorough)
            for late in sorted(wire.late_units()):
                if late not in self.found:
                    await self._visit(wire, late, SLOW_S)
            self.progress.tried(self.clock.monotonic() - began)

    async def _visit(self, wire: Wire, unit: int, timeout_s: float, *, is_thorough: bool = True) -> None:
        seen = await self.surveyor.visit(wire, unit, self.setting, timeout_s, is_thorough=is_thorough)
        if seen is None or self._is_same_again(seen):
            return
        seen = seen.model_copy(update={"device": self.configured.get(unit)})
        if seen.kind == "conflict":
            self._suspects.setdefault(unit, seen)
        else:
            self.found[unit] = seen
            self._suspects.pop(unit, None)
            if seen.response_ms is not None:
                self._slowest_s = max(self._slowest_s or 0.0, seen.response_ms / 1000)
        self.tell()

    def _is_same_again(self, seen: FoundDevice) -> bool:
        """Many a Modbus TCP device answers at whatever unit."""
        known = {(each.serial, each.maker) for each in self.found.values()}
        return self.setting == NETWORK and seen.serial is not None and (seen.serial, seen.maker) in known

    def _timeout_s(self) -> float:
        if self.setting == NETWORK:
            return NETWORK_S
        if self._slowest_s is None:
            return FIRST_S
        return min(FIRST_S, max(SHORTEST_S, SLOWEST_FACTOR * self._slowest_s))
