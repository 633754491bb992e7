"""Whether a value is believed: what jumps is read again first, what a counter did is told. Pure; of one device.

`doubts` says which values of a reply are to be read again, `settled` what is believed of both reads, `counted` what the
counters did since the last round. Nobody's clock: `at` comes in, seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from ccm_bus_reader.counters import ENDS, HOURS, Change, Counter, CounterRule, step
from ccm_bus_reader.decode import plain
from ccm_bus_reader.point import FLOAT_RESOLUTION, REGISTERS_OF, Point, resolution_of
from ccm_contracts.messages import Value
from ccm_contracts.metrics import ACCUMULATED, METRICS

STEP_OF_UNIT: Final = {
    "V": Decimal(100),
    "A": Decimal(200),
    "W": Decimal(50_000),
    "var": Decimal(50_000),
    "VA": Decimal(50_000),
    "Hz": Decimal(5),
    "°C": Decimal(30),
    "kWh": Decimal(500),
}
"""A gauge that changes by more between two rounds is read again, where its profile names no `step`."""
PER_HOUR: Final = Decimal(1000)
"""kWh, kvarh or kVAh: a counter that counts more in an hour is read again, where its profile names no `step`."""
WIDEN_AFTER: Final = 3
"""A value that truly jumps in so many rounds in a row has a step twice as wide from then on: its second reads would
take the line's time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A counter's change, or a jump that the second read did not confirm (`glitch`, `unsure`)."""

    metric: str
    what: Change | str
    before: int | float
    value: int | float
    lost: bool = False


@dataclass(slots=True)
class _Gauge:
    step: float
    believed: float | None = None
    jumps: int = 0

    def jumps_to(self, value: float, reference: float | None) -> bool:
        return reference is not None and abs(value - reference) > self.step


@dataclass(slots=True)
class _Meter:
    """A counter and what is needed to see in a moment that nothing happened: most rounds it stands still or counts."""

    rule: CounterRule
    per_s: float
    slack: float
    counter: Counter | None = None
    raw: float = 0.0
    at: float = 0.0
    total: int | float = 0

    def is_doubtful(self, value: float, at: float) -> bool:
        if self.counter is None:
            return False
        counted = value - self.raw
        return counted < 0 or counted > self.per_s * (at - self.at) + self.slack

    def take(self, counter: Counter) -> None:
        self.counter, self.at = counter, counter.at
        self.raw, self.total = float(counter.raw), plain(counter.total)

    def now(self) -> Counter | None:
        return None if self.counter is None else replace(self.counter, at=self.at)


class Beliefs:
    """What is believed of one device's values."""

    def __init__(self, points: Iterable[Point], counters: Mapping[str, Counter] | None = None) -> None:
        """`counters`: where they stood before, by metric."""
        numbers = [point for point in points if METRICS[point.metric].kind != "text"]
        self._meters = {
            point.metric: _meter_of(point) for point in numbers if METRICS[point.metric].kind == "counter"
        }
        self._gauges = {
            point.metric: _Gauge(float(wide))
            for point in numbers
            if point.metric not in self._meters and (wide := _step_of(point)) is not None
        }
        for metric, counter in (counters or {}).items():
            if metric in self._meters:
                self._meters[metric].take(counter)

    @property
    def counters(self) -> dict[str, Counter]:
        """Where they stand, by metric."""
        return {
            metric: counter for metric, meter in self._meters.items() if (counter := meter.now()) is not None
        }

    def doubts(self, values: Mapping[str, Value], at: float) -> frozenset[str]:
        """The metrics that must be read once more before they are believed."""
        return frozenset([metric for metric, value in values.items() if self._is_doubtful(metric, value, at)])

    def doubts_counters(self, values: Mapping[str, Value], at: float) -> bool:
        """Whether a counter among the values that are believed now did what no counter does."""
        return any(
            metric in values and self._is_doubtful(metric, values[metric], at) for metric in self._meters
        )

    def settled(
        self, first: Mapping[str, Value], second: Mapping[str, Value], doubted: Iterable[str], at: float
    ) -> tuple[dict[str, Value], list[Finding]]:
        """What is believed of two reads of the same registers; None where they agree on nothing."""
        values, findings = dict(second), []
        for metric in doubted:
            verdict = self._verdict(metric, first[metric], second.get(metric), at)
            if verdict is None:
                continue
            if verdict.what == "unsure":
                values[metric] = None
            findings.append(verdict)
        return values, findings

    def believe(self, values: Mapping[str, Value]) -> None:
        """These are the newest values of gauges."""
        for metric, value in values.items():
            gauge = self._gauges.get(metric)
            if gauge is not None and isinstance(value, (int, float)):
                _follow(gauge, value)

    def counted(
        self, values: Mapping[str, Value], at: float, *, is_other_meter: bool = False
    ) -> tuple[dict[str, Value], list[Finding]]:
        """The accumulated counter of each counter among `values`, and what was no ordinary step."""
        totals: dict[str, Value] = {}
        findings: list[Finding] = []
        for metric, meter in self._meters.items():
            value = values.get(metric)
            if not isinstance(value, (int, float)):
                continue
            if meter.counter is None or value != meter.raw or is_other_meter:
                findings += _stepped(metric, meter, value, at, is_other_meter=is_other_meter)
            meter.at = at
            if metric in ACCUMULATED:
                totals[ACCUMULATED[metric]] = meter.total
        return totals, findings

    def _is_doubtful(self, metric: str, value: Value, at: float) -> bool:
        if not isinstance(value, (int, float)):
            return False
        gauge = self._gauges.get(metric)
        if gauge is not None:
            return gauge.jumps_to(value, gauge.believed)
        meter = self._meters.get(metric)
        return meter is not None and meter.is_doubtful(value, at)

    def _verdict(self, metric: str, one: Value, two: Value, at: float) -> Finding | None:
        """None: the second read stands, whichever it confirms. A glitch: the first one was wrong."""
        if not isinstance(one, (int, float)) or not isinstance(two, (int, float)):
            return None
        if metric in self._meters:
            meter = self._meters[metric]
            agrees, before = abs(two - one) <= 2 * float(meter.rule.step), meter.raw
        else:
            gauge = self._gauges[metric]
            agrees, before = not gauge.jumps_to(two, one), one if gauge.believed is None else gauge.believed
        if not self._is_doubtful(metric, two, at):
            return Finding(metric, "glitch", before, one)
        return None if agrees else Finding(metric, "unsure", one, two)


def _follow(gauge: _Gauge, value: float) -> None:
    if gauge.jumps_to(value, gauge.believed):
        gauge.jumps += 1
        if gauge.jumps >= WIDEN_AFTER:
            gauge.step, gauge.jumps = gauge.step * 2, 0
    else:
        gauge.jumps = 0
    gauge.believed = value


def _stepped(
    metric: str, meter: _Meter, value: int | float, at: float, *, is_other_meter: bool
) -> list[Finding]:
    """The meter shows something new; in exact decimals."""
    raw, before = Decimal(repr(value)), meter.now()
    if before is None:
        meter.take(Counter.begun(raw, at))
        return []
    done = step(before, raw, at, meter.rule, is_other_meter=is_other_meter)
    meter.take(done.counter)
    if done.change is None:
        return []
    return [Finding(metric, done.change, plain(before.raw), value, lost=done.lost)]


def _step_of(point: Point) -> Decimal | None:
    return point.step if point.step is not None else STEP_OF_UNIT.get(METRICS[point.metric].unit)


def _meter_of(point: Point) -> _Meter:
    smallest = resolution_of(point) or FLOAT_RESOLUTION[METRICS[point.metric].unit]
    rule = CounterRule(smallest, point.step if point.step is not None else PER_HOUR, _range_of(point))
    return _Meter(rule, float(rule.per_hour / HOURS), float(ENDS * rule.step))


def _range_of(point: Point) -> Decimal | None:
    """Where the counter begins again: as the profile says, or where its type ends."""
    if point.rollover is not None:
        return point.rollover
    if point.type in ("u16", "u32") and point.scale_register is None:
        return abs(point.scale) * Decimal(2) ** (16 * REGISTERS_OF[point.type])
    return None
