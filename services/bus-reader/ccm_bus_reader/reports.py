"""What lines have to tell, as a port, and its way onto the bus: readings with their numbers, states, events."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from ccm_contracts.channels import COUNTERS_STATE, DEVICE_STATE, LINE_STATE, TELEMETRY
from ccm_contracts.messages import Reading, Severity, Value, reading_json
from ccm_contracts.state import CountersState, DeviceState, LineState
from ccm_kit.bus import Bus

log = logging.getLogger(__name__)

AT_ONCE: Final = timedelta(milliseconds=50)
"""After a stall of this machine several replies are read at one moment; a clock that was set back went further."""
APART: Final = timedelta(milliseconds=1)
"""The resolution of a reading's time, by which the history tells readings of a device apart."""


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


@dataclass(frozen=True, slots=True)
class Kept:
    """What the bus knows of a device: that of its counters at most a minute old, its newest reading, its state."""

    state: CountersState | None = None
    reading: Reading | None = None
    device: DeviceState | None = None


@dataclass(slots=True)
class _Series:
    """One device's readings: where they go, and the number of the newest."""

    subject: str
    seq: int = 0
    last: datetime | None = None


class BusReports:
    """Onto the bus; numbers each device's readings on from the stream's last."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._series: dict[str, _Series] = {}

    async def resume(self, device: str) -> Kept:
        """Look up where the device's numbers stand; before its first reading. Raises `BusDownError`."""
        last = await self._bus.last(TELEMETRY, device=device)
        stored = last.seq if last is not None else 0
        series = self._series_of(device)
        series.seq = max(stored, series.seq)
        state = await self._bus.last(COUNTERS_STATE, id=device)
        seen = await self._bus.last(DEVICE_STATE, id=device)
        return Kept(state, last, seen)

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        series = self._series.get(device) or self._series_of(device)
        series.seq = seq = series.seq + 1
        series.last = ts = moment_after(series.last, ts)
        data = reading_json(self._bus.gateway, device, ts, values, seq)
        self._bus.outbox.put(series.subject, data, f"{device}:{seq}")

    def _series_of(self, device: str) -> _Series:
        series = self._series.get(device)
        if series is None:
            subject = TELEMETRY.subject(gw=self._bus.gateway, device=device)
            series = self._series[device] = _Series(subject)
        return series

    def device(self, state: DeviceState) -> None:
        self._bus.state(DEVICE_STATE, state, id=state.device)

    def counters(self, state: CountersState) -> None:
        self._bus.state(COUNTERS_STATE, state, id=state.device)

    def line(self, state: LineState) -> None:
        self._bus.state(LINE_STATE, state, id=state.line)

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        log.log(logging.INFO if severity == "info" else logging.WARNING, text, extra={"kind": kind})
        self._bus.event(kind, severity, text, **data)


def moment_after(before: datetime | None, ts: datetime) -> datetime:
    """The time of a reading: no two readings of a device in a row have the same millisecond."""
    if before is None or ts - before >= APART:
        return ts
    before, ts = _cut(before), _cut(ts)
    return before + APART if before - AT_ONCE < ts <= before else ts


def _cut(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
