"""What the engine published, held against what the devices answered. Nothing here asks the engine.

A value is right when it is the one that its device gave in the newest read of that quantity that it carried out: an
answer that was taken for another's, or a late one for a present one, is wrong by at least the count of the reads.
Slow values may be published once more while their next read fails.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ccm_bus_reader.reports import BusReports, Kept
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Severity, Value
from ccm_contracts.metrics import ACCUMULATED
from ccm_contracts.state import CountersState, DeviceState, LineState
from tests.support.day.cabinet import Counted, held, steps_kwh
from tests.support.virtual_time import BEGINNING

NJ_PER_KWH: Final = 3.6e15
MOST_TOLD: Final = 20
"""Violations that are written out; all are counted."""
STEADY_S: Final = 60.0
SPOILED_S: Final = 15.0
"""A device without a fault on a line without one is read within its interval and so much: a handful of neighbours that
answer late at once take that much of the line's time (a SUN2000 may take 5 s for each of its five reads). For each of
its own replies that was spoiled (one in fifty) once more so much: a reply that is owed can block that read for 10 s."""
RETURN_S: Final = 45.0
"""A device that is well again is read within one probe (a minute) and so much: the probe, and the round after it, wait
for their turn behind such neighbours. One more probe for each that was spoiled."""
WHOLE_S: Final = 360.0
"""A device that is well again shows all that it showed before by then, and by its next slow round: what it refused for
up to 5 min it is asked for again as long after."""
FULL_KWH: Final = 4_294_967.295
"""A CcM4's counter that is full shows what means "not available" (docs/ccm-modbus-map.md)."""
SLOWEST_S: Final = 60.0
"""Slow points are read so often where nothing else is said, or with each round."""
PROBE_S: Final = 60.0
HELD_ROUNDS: Final = 2.5
"""Intervals that a slow value counts for (README of bus-reader)."""
QUICK_ASKS: Final = 4
"""Requests to a device that has just died: two tries, one more, the first probe. From there on twice as long each."""
ROUNDING: Final = 1.01
"""Steps of a counter that two ends can differ by, and a little. Whenever it is set elsewhere there are two more."""
HALF_STEP: Final = 0.0051
"""A float of an SDM630 is rounded to 0.01 W or finer; a read more is 0.01 Hz, a step of its counters 0.01 kWh."""
SAME: Final = 1e-9


@dataclass(slots=True)
class Watched:
    """What is known of one device of the configuration."""

    poll_s: float
    slow_s: float
    troubles: int = 0
    well_since: float | None = None
    """None while a mishap concerns it or its line."""
    judged_from: float = 0.0
    """Later than that for a device that had refused what it has: it is asked again in its time."""
    spoiled_before: int = 0
    """What had been done to its replies by then."""
    read_at: float = float("-inf")
    is_dead: bool = False
    dead_asks: int = 0
    asked_at: float = float("-inf")
    shows: set[str] = field(default_factory=set)
    lacks_since: dict[str, float] = field(default_factory=dict)
    first_acc: dict[str, tuple[float, float]] = field(default_factory=dict)
    acc: dict[str, float] = field(default_factory=dict)
    last: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By metric: the value of its newest read when it was published, and when."""


class Witness(BusReports):
    """In the place of the bus."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._devices: Mapping[str, Counted] = {}
        self._units: dict[str, int] = {}
        self._spoils: Callable[[str], Counter[str]] = lambda _: Counter()
        self._clock = clock
        self.watched: dict[str, Watched] = {}
        self.violations: list[str] = []
        self.broken: Counter[str] = Counter()
        """Violations by kind."""
        self.events: Counter[str] = Counter()
        self.readings = 0
        self.values = 0
        self.unknown = 0
        """Values that were published as not known."""
        self.held_values = 0
        """Slow ones whose next read failed: published once more."""
        self.requests = 0
        self.dead_requests = 0
        self.longest_gap = (0.0, "")
        self.longest_beyond = (0.0, "")
        """Beyond its interval."""
        self.longest_clean_beyond = (0.0, "")
        """Of those none of whose replies was spoiled meanwhile."""
        self.longest_return = (0.0, "")
        self.longest_clean_return = (0.0, "")
        """Of those whose first probe was not spoiled."""
        self.longest_lack = (0.0, "")
        self.line_state: LineState | None = None
        self._kept: dict[str, CountersState] = {}

    def violate(self, kind: str, text: str) -> None:
        self.broken[kind] += 1
        if self.broken[kind] <= MOST_TOLD:
            self.violations.append(f"{self._clock():.3f} s: {kind}: {text}")

    # --- what it is told of the mishaps --------------------------------------------------------------------

    def watch_all(
        self,
        devices: Mapping[str, Counted],
        configs: Mapping[str, DeviceConfig],
        spoiled: Callable[[str], Counter[str]],
        dead: Iterable[str],
    ) -> None:
        """The day begins; `spoiled` tells what was done to a device's replies so far, `dead` are never there."""
        self._devices, self._spoils = devices, spoiled
        self._units = {config.id: config.unit for config in configs.values()}
        for config in configs.values():
            self.watch(config.id, config.poll_s)
        for device in dead:
            self.trouble(device, is_dead=True)

    def watch(self, device: str, poll_s: float, slow_s: float | None = None) -> None:
        """It is in the configuration from now on, or with another interval."""
        now = self._clock()
        known = self.watched.get(device)
        if known is None:
            self.watched[device] = Watched(poll_s, slow_s or max(SLOWEST_S, poll_s), well_since=now)
        else:
            known.poll_s, known.slow_s = poll_s, slow_s or max(SLOWEST_S, poll_s)
            if known.well_since is not None:
                known.judged_from = known.well_since = now
                known.spoiled_before = self._spoiled(device)

    def trouble(self, device: str, *, is_dead: bool = False) -> None:
        """Something concerns it from now on."""
        known = self.watched[device]
        self.look(device)
        known.troubles += 1
        known.well_since = None
        if is_dead:
            known.is_dead, known.dead_asks = True, 0

    def relief(self, device: str, *, had_refused: bool = False) -> None:
        """One thing less. `had_refused`: it may have been taken to lack what it has."""
        known = self.watched[device]
        known.troubles -= 1
        if had_refused:
            known.judged_from = self._clock() + WHOLE_S
        if not known.troubles:
            known.well_since = self._clock()
            known.judged_from = max(known.judged_from, known.well_since)
            known.spoiled_before = self._spoiled(device)
            known.lacks_since.clear()

    def _spoiled(self, device: str) -> int:
        """How much went wrong with its answers so far, or with what somebody may have asked it."""
        return self._spoils(device).total()

    def alive(self, device: str) -> None:
        self.watched[device].is_dead = False

    def line_opened(self, devices: Iterable[str] | None = None) -> None:
        """The engine may ask the dead ones on it anew."""
        for device in self.watched if devices is None else devices:
            self.watched[device].dead_asks = 0

    def look(self, device: str) -> None:
        """Whether it has been waited for too long already."""
        known = self.watched[device]
        if known.well_since is not None and device in self._devices:
            self._waited(device, known)

    def look_at_all(self) -> None:
        for device in self.watched:
            self.look(device)

    def _waited(self, device: str, known: Watched) -> None:
        assert known.well_since is not None
        now = self._clock()
        if now < known.judged_from:
            return
        if known.read_at >= known.well_since:
            gap_s = now - max(known.read_at, known.judged_from)
            spoiled = self._spoiled(device) - known.spoiled_before
            self.longest_gap = max(self.longest_gap, (gap_s, device))
            self.longest_beyond = max(self.longest_beyond, (gap_s - known.poll_s, device))
            if not spoiled:
                self.longest_clean_beyond = max(self.longest_clean_beyond, (gap_s - known.poll_s, device))
            if gap_s > known.poll_s + STEADY_S + SPOILED_S * spoiled:
                self.violate("stuck", f"{device}: not read for {gap_s:.1f} s, wanted each {known.poll_s:g} s")
                known.read_at = now
        else:
            back_s = now - known.judged_from
            probes = 1 + self._spoiled(device) - known.spoiled_before
            self.longest_return = max(self.longest_return, (back_s, device))
            if probes == 1:
                self.longest_clean_return = max(self.longest_clean_return, (back_s, device))
            if back_s > max(PROBE_S, known.poll_s) * probes + RETURN_S:
                self.violate("no return", f"{device}: well for {back_s:.1f} s, and not read")
                known.judged_from = known.well_since = now
                known.spoiled_before = self._spoiled(device)

    # --- what goes over the wire -----------------------------------------------------------------------------

    def heard(self, frame: bytes) -> None:
        """The engine wrote it."""
        self.requests += 1
        for device, known in self.watched.items():
            if known.is_dead and self._units[device] == frame[0]:
                self._asked_dead(device, known)

    def _asked_dead(self, device: str, known: Watched) -> None:
        self.dead_requests += 1
        known.dead_asks += 1
        now, before = self._clock(), known.asked_at
        known.asked_at = now
        least_s = min(PROBE_S, 2.0 ** (known.dead_asks - QUICK_ASKS - 1))
        if known.dead_asks > QUICK_ASKS and now - before < least_s:
            text = f"{device}: asked for the {known.dead_asks}th time after {now - before:.2f} s, not {least_s:g} s"
            self.violate("probe", text)

    # --- what is published -----------------------------------------------------------------------------------

    async def resume(self, device: str) -> Kept:
        return Kept(self._kept.get(device))

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        self.readings += 1
        now, known, truth = self._clock(), self.watched.get(device), self._devices.get(device)
        if known is None or truth is None:
            self.violate("wrong", f"a reading of {device}, which is not there")
            return
        moment = (ts - BEGINNING).total_seconds()
        if not truth.read_at - 1e-3 <= moment <= now + 1e-3:
            self.violate("wrong", f"{device}: stamped {moment:.3f} s, read at {truth.read_at:.3f} s")
        if known.well_since is not None:
            self._waited(device, known)
        known.read_at, known.spoiled_before = now, self._spoiled(device)
        self._judge(device, truth, known, values)
        self._miss(device, truth, known, values)

    def _judge(self, device: str, truth: Counted, known: Watched, values: dict[str, Value]) -> None:
        is_float = truth.spec.kind == "sdm630"
        for metric, value in values.items():
            if value is None:
                self.unknown += 1
                continue
            self.values += 1
            shown = truth.shown.get(metric)
            if not isinstance(value, int | float) or not isinstance(shown, int | float):
                continue
            if abs(value - shown) <= (HALF_STEP if is_float else SAME * max(1.0, abs(shown))):
                known.last[metric] = (value, self._clock())
            elif metric in held(truth.spec.kind) and self._is_held(known, metric, value):
                self.held_values += 1
            else:
                self.violate("wrong", f"{device}: {metric} {value!r}, the device said {shown!r}")
        for metric, total in ACCUMULATED.items():
            accumulated = values.get(total)
            if metric in truth.counted_nj and isinstance(accumulated, int | float):
                counted_kwh = truth.counted_nj[metric] / NJ_PER_KWH
                step_kwh = steps_kwh(truth.spec.kind)[metric]
                rounding_kwh = ROUNDING * step_kwh * (1 + truth.moves)
                self._judge_total(device, known, metric, accumulated, counted_kwh, rounding_kwh)

    def _is_held(self, known: Watched, metric: str, value: float) -> bool:
        """Whether it was published before, as long ago as a slow value counts."""
        last, at = known.last.get(metric, (None, 0.0))
        return value == last and self._clock() - at <= HELD_ROUNDS * known.slow_s + STEADY_S

    def _judge_total(
        self, device: str, known: Watched, metric: str, total: float, counted: float, rounding: float
    ) -> None:
        first = known.first_acc.setdefault(metric, (total, counted))
        if total < known.acc.get(metric, total) - SAME:
            self.violate("total", f"{device}: {metric}_acc went back from {known.acc[metric]} to {total}")
        if total - first[0] > counted - first[1] + rounding:
            more = total - first[0] - counted + first[1]
            self.violate("total", f"{device}: {metric}_acc is {more:.3f} kWh above what was counted")
        known.acc[metric] = total

    def _miss(self, device: str, truth: Counted, known: Watched, values: dict[str, Value]) -> None:
        """Metrics that it showed and does not show any more."""
        now = self._clock()
        for metric, value in values.items():
            is_full = truth.shown.get(metric.removesuffix("_acc")) == FULL_KWH
            if value is not None or is_full:
                known.shows.add(metric)
                known.lacks_since.pop(metric, None)
            elif metric in known.shows and known.well_since is not None:
                since = known.lacks_since.setdefault(metric, now)
                lack_s = now - since
                self.longest_lack = max(self.longest_lack, (lack_s, f"{device}.{metric}"))
                if lack_s > WHOLE_S + known.slow_s:
                    self.violate("lack", f"{device}: {metric} has been unknown for {lack_s:.0f} s")
                    known.lacks_since[metric] = now

    def device(self, state: DeviceState) -> None:
        """Nothing is held against it: readings tell."""

    def counters(self, state: CountersState) -> None:
        self._kept[state.device] = state

    def line(self, state: LineState) -> None:
        self.line_state = state

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        self.events[kind] += 1
        if kind == "line-crashed":
            self.violate("crash", text)
