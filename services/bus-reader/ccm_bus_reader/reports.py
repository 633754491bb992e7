"""What lines have to tell, as a port, and its way onto the bus: readings with their numbers, states, events."""

import logging
from datetime import datetime
from typing import Any, Protocol

from ccm_contracts.channels import COUNTERS_STATE, DEVICE_STATE, LINE_STATE, TELEMETRY
from ccm_contracts.messages import Severity, Value, reading_json
from ccm_contracts.state import CountersState, DeviceState, LineState
from ccm_kit.bus import Bus

log = logging.getLogger(__name__)


class Reports(Protocol):
    """Where a line's owner tells what it found; none of it waits."""

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        """A whole reading; `ts` is when the last byte of its last reply arrived."""

    def device(self, state: DeviceState) -> None:
        """A device's state changed."""

    def counters(self, state: CountersState) -> None:
        """Where a device's energy counters stand, regularly."""

    def line(self, state: LineState) -> None:
        """A line's counters, regularly."""

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        """Something that an operator may want to know."""


class BusReports:
    """Onto the bus; numbers each device's readings on from the stream's last."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._seqs: dict[str, int] = {}

    async def resume(self, device: str) -> CountersState | None:
        """Look up where the device's numbers stand; before its first reading. Raises `BusDownError`.

        Returns where its energy counters stood, if anything is known of it.
        """
        last = await self._bus.last(TELEMETRY, device=device)
        stored = last.seq if last is not None else 0
        self._seqs[device] = max(stored, self._seqs.get(device, 0))
        return await self._bus.last(COUNTERS_STATE, id=device)

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        seq = self._seqs[device] = self._seqs.get(device, 0) + 1
        gateway = self._bus.gateway
        subject = TELEMETRY.subject(gw=gateway, device=device)
        self._bus.outbox.put(subject, reading_json(gateway, device, ts, values, seq), f"{device}:{seq}")

    def device(self, state: DeviceState) -> None:
        self._bus.state(DEVICE_STATE, state, id=state.device)

    def counters(self, state: CountersState) -> None:
        self._bus.state(COUNTERS_STATE, state, id=state.device)

    def line(self, state: LineState) -> None:
        self._bus.state(LINE_STATE, state, id=state.line)

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        log.log(logging.INFO if severity == "info" else logging.WARNING, text, extra={"kind": kind})
        self._bus.event(kind, severity, text, **data)
