"""What one line has to tell: which device came or went, which interval is not kept, how the line fares.

Tells each change once. Does not decide: `rounds.py` and `poller.py` do.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from ccm_bus_reader.budget import measured_time, utilisation_of
from ccm_bus_reader.device import Device
from ccm_bus_reader.finding_events import FindingEvents, together
from ccm_bus_reader.lanes import lanes_for
from ccm_bus_reader.line import Line
from ccm_bus_reader.memory import counters_state
from ccm_bus_reader.plausible import Finding
from ccm_bus_reader.reports import Reports
from ccm_bus_reader.stats import WINDOW_S, Plan, line_state
from ccm_contracts.messages import Value
from ccm_contracts.state import DeviceState
from ccm_kit.clock import Clock, utc_of

REPORT_S: Final = 5.0
COUNTERS_S: Final = 60.0
"""How often the state of the counters is kept. What was published since is taken from the newest reading."""


class News:
    """Of one line."""

    def __init__(
        self,
        line_id: str,
        line: Line,
        devices: Mapping[str, Device],
        reports: Reports,
        clock: Clock,
        protocol: str,
    ) -> None:
        self.error: str | None = None
        """Why the line is closed; None while it is open."""
        self._is_told_open = False
        self._notice: str | None = None
        self._is_echo_told = False
        self.line_id = line_id
        self._line = line
        self._devices = devices
        self._reports = reports
        self._clock = clock
        self._protocol = protocol
        self._overruns: set[str] = set()
        self._ailing: dict[str, str] = {}
        """What was said of each device that answers and does not give what it has."""
        self._findings = FindingEvents()
        self._counters_at: dict[str, float] = {}
        self._window_from = self._report_at = clock.monotonic()

    # --- the line ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The line can be used (again); said once."""
        if self._is_told_open:
            return
        self._is_told_open, self.error = True, None
        endpoint = self._line.transport.endpoint
        self._reports.event(
            "line-open", "info", f"line {self.line_id}: {endpoint} is open", line=self.line_id
        )
        self.line(now=True)

    def notice(self, text: str | None) -> None:
        """The port is open, but not quite as wanted; said once."""
        if text is not None and text != self._notice:
            endpoint = self._line.transport.endpoint
            self._reports.event(
                "line-notice", "warning", f"line {self.line_id}: {endpoint}: {text}", line=self.line_id
            )
        self._notice = text

    def closed(self, reason: str, retry_s: float) -> None:
        """The line cannot be used: said once, for the line and each of its devices; its newest reason is shown."""
        was_told, is_news = self.error is not None, reason != self.error
        self.error = reason
        self._is_told_open = False
        for device in self._devices.values():
            if is_news or device.is_online is not False:
                self.device(
                    device, is_online=False, error=f"line {self.line_id} is closed: {reason}", is_quiet=True
                )
        if is_news:
            self.line(now=True)
        if was_told:
            return
        text = f"line {self.line_id}: {reason}; tried again at least each {retry_s:g} s"
        self._reports.event(
            "line-closed", "warning", text, line=self.line_id, reason=reason, devices=list(self._devices)
        )

    def line(self, *, now: bool = False) -> None:
        """The line's counters, when it is time for them."""
        moment = self._clock.monotonic()
        if not now and moment < self._report_at:
            return
        self._report_at = moment + REPORT_S
        window_s = moment - self._window_from
        state = line_state(
            self.line_id,
            self._line.counters,
            now=self._clock.now(),
            window_s=window_s,
            plan=Plan(self._cycle_s(), self._planned(), self._lanes()),
            error=self.error,
        )
        self._reports.line(state)
        self._echo()
        if window_s >= WINDOW_S:
            self._line.counters.clear()
            self._window_from = moment

    def _echo(self) -> None:
        """An adapter that hears itself is no fault, but whoever reads the frames should know; said once."""
        if self._line.framing.echoes and not self._is_echo_told:
            self._is_echo_told = True
            endpoint = self._line.transport.endpoint
            text = f"line {self.line_id}: {endpoint}: the adapter echoes what it sends; the echoes are taken away"
            self._reports.event("line-notice", "info", text, line=self.line_id)

    # --- its devices -------------------------------------------------------------------------------------

    def reading(self, device: Device, at: float, values: dict[str, Value]) -> None:
        """A whole reading whose last byte came at `at` (monotonic)."""
        self._reports.reading(device.id, utc_of(self._clock, at), values)

    def device(
        self,
        device: Device,
        *,
        is_online: bool,
        error: str | None = None,
        retry_s: float | None = None,
        is_quiet: bool = False,
    ) -> None:
        """Its state; with an event when it changed, unless the line's own event says it all (`is_quiet`)."""
        if not is_online:
            self._ailing.pop(device.id, None)
        if device.is_online is not is_online:
            device.since = self._clock.now()
            device.is_online = is_online
            if not is_quiet:
                self._came_or_went(device, error)
        lacks = device.refusals.lacks
        self._reports.device(
            DeviceState(
                device=device.id,
                online=is_online,
                since=device.since or self._clock.now(),
                line=self.line_id,
                unit=device.config.unit,
                model=device.config.model,
                protocol=self._protocol,
                serial=device.text("serial"),
                firmware=device.text("firmware"),
                error=error,
                retry_s=retry_s,
                refused=sorted(lacks.absent),
                splits=sorted(lacks.barriers),
            )
        )

    def _came_or_went(self, device: Device, error: str | None) -> None:
        data = {"device": device.id, "line": self.line_id, "unit": device.config.unit}
        if device.is_online:
            text = f"{device.id}: unit {device.config.unit} on line {self.line_id} answers"
            self._reports.event("device-online", "info", text, **data)
        else:
            self._reports.event("device-offline", "warning", f"{device.id}: {error}", **data)

    def ailing(self, device: Device) -> None:
        """What an answering device cannot give; said when it begins, and when all is well again."""
        text, before = device.ailments.text, self._ailing.get(device.id)
        if text == before:
            return
        self.device(device, is_online=True, error=text)
        data = {"device": device.id, "line": self.line_id}
        if text is None:
            del self._ailing[device.id]
            self._reports.event(
                "device-recovered", "info", f"{device.id}: gives all its values again", **data
            )
            return
        self._ailing[device.id] = text
        if before is None:
            self._reports.event("device-failing", "warning", f"{device.id}: {text}", **data)

    def findings(self, device: Device, findings: Iterable[Finding]) -> None:
        """What its counters did, and which values were not believed."""
        for finding, others in together(findings):
            told = self._findings.tell(device.id, finding, self._clock.monotonic(), others)
            if told is not None:
                (kind, severity, text), data = told
                self._reports.event(kind, severity, text, **data)

    def counters(self, device: Device, *, now: bool) -> None:
        """Where its counters stand, when it is time to keep that."""
        if not device.beliefs.metered:
            return
        moment = self._clock.monotonic()
        if not now and moment < self._counters_at.get(device.id, 0.0):
            return
        if device.beliefs.counters:
            self._counters_at[device.id] = moment + COUNTERS_S
            self._reports.counters(counters_state(device, partial(utc_of, self._clock)))

    def refused(self, device: Device) -> None:
        """The points that the device newly does not have, those of a round together."""
        for exception, metrics in device.refusals.untold.items():
            if metrics:
                text = f"{device.id}: answers exception {exception} to {', '.join(metrics)}; left out; "
                text += "asked for again later"
                self._reports.event(
                    "point-refused", "warning", text, device=device.id, metrics=metrics, exception=exception
                )
        device.refusals.untold.clear()

    def overrun(self, device: Device, *, is_overrun: bool) -> None:
        """An interval that is not kept is told once for the line, and again when all are kept."""
        before = bool(self._overruns)
        if is_overrun:
            self._overruns.add(device.id)
        else:
            self._overruns.discard(device.id)
        if bool(self._overruns) == before:
            return
        cycle_s = self._cycle_s()
        if not before:
            text = f"line {self.line_id}: {device.id} is not read each {device.config.poll_s:g} s; "
            text += f"one round over all devices takes {cycle_s:.3g} s"
            self._reports.event(
                "overrun", "warning", text, line=self.line_id, device=device.id, cycle_s=cycle_s
            )
        else:
            text = f"line {self.line_id}: all devices are read in their intervals again"
            self._reports.event("overrun-ended", "info", text, line=self.line_id, cycle_s=cycle_s)

    def removed(self, device: Device) -> None:
        """The device is no longer on this line."""
        self.overrun(device, is_overrun=False)
        self._line.counters.pop(device.config.unit, None)
        self._counters_at.pop(device.id, None)
        self._findings.forget(device.id)
        self._ailing.pop(device.id, None)

    def _cycle_s(self) -> float:
        return round(sum(device.cycle_s for device in self._devices.values()), 4)

    def _planned(self) -> float:
        """The share of the wire that the devices which answer should take."""
        answering = [device for device in self._devices.values() if device.is_online]
        return utilisation_of(answering, measured_time, lanes=self._lanes())

    def _lanes(self) -> int:
        configs = [device.config for device in self._devices.values()]
        return lanes_for(configs, is_modbus_tcp=self._protocol == "modbus-tcp")
