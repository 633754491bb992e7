"""The outputs at work: carries decisions out on the hardware, remembers them, and watches hold times and the bus.

Does not know the bus: it tells a `Report`. A command is stored before the contact moves, a return to the safe state
after it: whenever the process dies between the two, store and hardware disagree, and the next start goes safe.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ccm_contracts.config.site import Feature, Outputs
from ccm_contracts.state import OutputState
from ccm_contracts.verbs.io import OutputId, SetOutput
from ccm_io.hal.base import Output
from ccm_io.outputs import (
    NEEDS,
    Desired,
    Record,
    agrees,
    available,
    desired_of,
    is_relay,
    left_s,
    record_of,
    safe_of,
    start_of,
)
from ccm_io.store import Store
from ccm_kit.clock import Clock
from ccm_kit.errors import RefusedError

log = logging.getLogger(__name__)

BUS_LOST_S: Final = 60.0
"""Without the bus for so long, outputs whose command named no hold time go to their safe state."""
LOOK_S: Final = 1.0
"""Longest time between two looks at hold times and the bus; also between two tries on refusing hardware."""


class Report(Protocol):
    """Who wants to know."""

    def state(self, state: OutputState) -> None:
        """The state of an output, after each decision."""

    def changed(self, state: OutputState, before: float, by: str) -> None:
        """The output changed from `before` to `state.value`."""

    def failed(self, state: OutputState) -> None:
        """The hardware refused; `state.fault` says how. Reported once until it works again."""


@dataclass(slots=True)
class _Slot:
    """One output: its hardware, its settings, what was decided, and what the hardware says."""

    hardware: Output
    safe: float
    hold_s: float | None = None
    record: Record | None = None
    found: float | None = None
    ends_s: float | None = None
    """Monotonic end of the hold time."""
    fault: str | None = None
    owed: str | None = None
    """Why it must still go to its safe state, which the hardware refused so far."""


class Bank:
    """All outputs of this gateway."""

    def __init__(
        self, hardware: Mapping[OutputId, Output], store: Store, clock: Clock, report: Report
    ) -> None:
        self._hardware = hardware
        self._store = store
        self._clock = clock
        self._report = report
        self._records = store.load()
        self._features: Collection[Feature] = ()
        self._slots: dict[OutputId, _Slot] = {}
        self._lost_s: float | None = None

    def resume(self) -> None:
        """Take up every stored output with its stored safe state, before any configuration is known."""
        self._features = frozenset(NEEDS[output] for output in self._records)
        for output, record in self._records.items():
            self._begin(output, _Slot(self._hardware[output], record.safe))

    def configure(self, features: Collection[Feature], settings: Outputs) -> None:
        """Take up the outputs that the model has, and put down those that it has no more, in their safe state.

        A new safe state counts from the next return on: changing the configuration switches nothing.
        """
        self._features = features
        for output in [output for output in self._slots if NEEDS[output] not in features]:
            self._go_safe(output, "not on this model")
            del self._slots[output]
            self._records.pop(output, None)
            self._save_if_possible()
        for output in available(features):
            wanted = settings.of(output)
            slot = self._slots.get(output)
            if slot is None:
                self._begin(output, _Slot(self._hardware[output], wanted.safe, wanted.hold_s))
            else:
                slot.safe, slot.hold_s = wanted.safe, wanted.hold_s
                self._report.state(self._state(output))

    def command(self, command: SetOutput, by: str) -> OutputState:
        """The state once the hardware has it. Raises `RefusedError`.

        Codes: `not-available`, `out-of-range`, `storage` (nothing was switched; never when the command is to the safe
        state), `hardware`.
        """
        slot = self._slots.get(command.output)
        desired = desired_of(command, by, self._features, slot.hold_s if slot else None)
        self._act(command.output, desired, is_command=True)
        return self._state(command.output)

    def look(self, *, is_bus_up: bool) -> None:
        """End hold times, notice the loss of the bus, and try again what the hardware refused."""
        now_s = self._clock.monotonic()
        self._lost_s = None if is_bus_up else self._lost_s if self._lost_s is not None else now_s
        is_lost = self._lost_s is not None and now_s - self._lost_s >= BUS_LOST_S
        for output, slot in self._slots.items():
            if slot.owed is not None:
                self._go_safe(output, slot.owed)
            elif slot.ends_s is not None and now_s >= slot.ends_s:
                self._go_safe(output, "hold time ended")
            elif is_lost and slot.ends_s is None and not self._is_safe(slot):
                self._go_safe(output, f"safe state: no bus for {BUS_LOST_S:g} s")

    def wait_s(self) -> float:
        """Seconds until `look` is worth calling again."""
        now_s = self._clock.monotonic()
        ends = [slot.ends_s - now_s for slot in self._slots.values() if slot.ends_s is not None]
        due = [end for end in ends if end > 0]
        return min([LOOK_S, *due])

    def stop(self) -> None:
        """An orderly end: nobody watches from now on, so everything goes to its safe state.

        Also what is only stored yet, when the process ends before it has its configuration.
        """
        if not self._slots:
            self.resume()
        for output, slot in self._slots.items():
            if not self._is_safe(slot) or slot.ends_s is not None:
                self._go_safe(output, "safe state at stop")

    def _begin(self, output: OutputId, slot: _Slot) -> None:
        self._slots[output] = slot
        slot.record = self._records.get(output)
        slot.found = slot.hardware.read()
        what = start_of(slot.record, slot.found, self._clock.now())
        if what != "keep":
            because = "hold time ended" if what == "hold ended" else "last state unknown"
            self._go_safe(output, f"safe state at start: {because}")
            return
        assert slot.record is not None
        self._time(slot, left_s(slot.record, self._clock.now()))
        log.info("output kept", extra={"output": output, "value": slot.found, "reason": slot.record.reason})
        self._report.state(self._state(output))

    def _is_safe(self, slot: _Slot) -> bool:
        return slot.found is not None and agrees(slot.safe, slot.found)

    def _go_safe(self, output: OutputId, reason: str) -> None:
        slot = self._slots[output]
        try:
            self._act(output, safe_of(slot.safe, reason), is_command=False)
        except RefusedError:
            slot.owed = reason

    def _act(self, output: OutputId, desired: Desired, *, is_command: bool) -> None:
        """Store and switch, in the order of the module's first lines. Raises `RefusedError`."""
        slot = self._slots[output]
        before = slot.hardware.read()
        switched = is_relay(output) and before is not None and before != desired.value
        record = record_of(desired, slot.record, safe=slot.safe, switched=switched, now=self._clock.now())
        if is_command:
            self._save_first(output, record, is_safe=agrees(slot.safe, desired.value))
        fault = _drive(slot, desired.value)
        if fault is not None:
            if is_command:
                self._save_if_possible()
            self._failed(output, fault)
            raise RefusedError(f"{output}: {fault}", code="hardware", field="output")
        slot.record = self._records[output] = record
        slot.fault = slot.owed = None
        self._time(slot, desired.hold_s)
        if not is_command:
            self._save_if_possible()
        self._report.state(self._state(output))
        if before is not None and before != slot.found:
            self._report.changed(self._state(output), before, desired.by)

    def _failed(self, output: OutputId, fault: str) -> None:
        slot = self._slots[output]
        is_new, slot.fault = slot.fault is None, fault
        self._report.state(self._state(output))
        if is_new:
            self._report.failed(self._state(output))

    def _save(self, records: Mapping[OutputId, Record]) -> None:
        try:
            self._store.save(records)
        except OSError as err:
            raise RefusedError(f"cannot store the decision: {err.strerror}", code="storage") from err

    def _save_first(self, output: OutputId, record: Record, *, is_safe: bool) -> None:
        """A full disk refuses every command but the one to the safe state."""
        try:
            self._save({**self._records, output: record})
        except RefusedError as err:
            if not is_safe:
                raise
            log.error("outputs not stored", extra={"error": err.message})

    def _save_if_possible(self) -> None:
        """The hardware is as it shall be; without the file the next start finds it unknown, and goes safe."""
        try:
            self._save(self._records)
        except RefusedError as err:
            log.error("outputs not stored", extra={"error": err.message})

    def _time(self, slot: _Slot, hold_s: float | None) -> None:
        slot.ends_s = None if hold_s is None else self._clock.monotonic() + hold_s

    def _state(self, output: OutputId) -> OutputState:
        slot, record = self._slots[output], self._slots[output].record
        return OutputState(
            output=output,
            value=slot.found if slot.found is not None else record.value if record else slot.safe,
            since=record.since if record else self._clock.now(),
            reason=record.reason if record else "unknown: the hardware refuses",
            until=record.until if record else None,
            safe=slot.safe,
            switches=record.switches if record else 0,
            fault=slot.fault,
        )


def _drive(slot: _Slot, value: float) -> str | None:
    """Write and read back; what went wrong, or None."""
    try:
        slot.hardware.write(value)
    except OSError as err:
        slot.found = slot.hardware.read()
        return f"the hardware refused {value:g}: {err.strerror or err}"
    slot.found = slot.hardware.read()
    if slot.found is None or not agrees(value, slot.found):
        return f"set to {value:g}, but reads {slot.found}"
    return None
