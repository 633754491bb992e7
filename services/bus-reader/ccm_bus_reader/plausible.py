"""Whether a value is believed: what jumps is read again first, what a counter did is told. Pure; of one device.

`Watch.take` believes a reply's values or says which are to be read again, `settled` what is believed of both reads,
`counted` what the counters did since the last round. Nobody's clock: `at` comes in, seconds.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, cast

from ccm_bus_reader.counters import ENDS, HOURS, Change, Counter, CounterRule, resumed, step
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
class Published:
    """The values of a reading that is on the bus, as the device gave them, and when."""

    values: Mapping[str, Value]
    at: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a device's counters stood, by metric, and whose they were."""

    counters: dict[str, Counter]
    serial: str | None
    published: Published | None = None
    """What was said of them later, by a process that could not keep its counters any more."""


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
    believed: float = math.nan
    """Not a number before the first value: no difference from it is too wide."""
    jumps: int = 0

    def is_doubtful(self, value: float) -> bool:
        return abs(value - self.believed) > self.step

    def follow(self, value: float) -> None:
        if self.is_doubtful(value):
            self.jumps += 1
            if self.jumps >= WIDEN_AFTER:
                self.step, self.jumps = self.step * 2, 0
        else:
            self.jumps = 0
        self.believed = value


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


class Watch:
    """Whether the values of one read are believed; made once, for all its rounds."""

    def __init__(self, gauges: Mapping[str, _Gauge], meters: Mapping[str, _Meter]) -> None:
        self._gauges = tuple(gauges.items())
        self._meters = tuple(meters.items())

    def take(self, values: Mapping[str, Value], at: float) -> list[str]:
        """Believes what can be believed; returns the metrics that must be read once more before that."""
        doubts = self.doubted_counters(values, at) if self._meters else []
        numbers = cast("Mapping[str, float | None]", values)  # a gauge's metric is no text
        for metric, gauge in self._gauges:
            value, step = numbers[metric], gauge.step
            if value is None:
                continue
            if -step > (moved := value - gauge.believed) or moved > step:
                doubts.append(metric)
            else:
                gauge.believed, gauge.jumps = value, 0
        return doubts

    def doubted_counters(self, values: Mapping[str, Value], at: float) -> list[str]:
        """The counters that did what no counter does."""
        return [
            metric
            for metric, meter in self._meters
            if isinstance(value := values[metric], (int, float)) and meter.is_doubtful(value, at)
        ]


class Beliefs:
    """What is believed of one device's values."""

    def __init__(
        self,
        points: Iterable[Point],
        counters: Mapping[str, Counter] | None = None,
        published: Published | None = None,
    ) -> None:
        """`counters`: where they stood before, by metric; `published`: what was said of them since."""
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
                rule = self._meters[metric].rule
                self._meters[metric].take(_gone_on(metric, counter, published, rule))

    @property
    def metered(self) -> Collection[str]:
        """The metrics of its counters."""
        return self._meters.keys()

    @property
    def counters(self) -> dict[str, Counter]:
        """Where they stand, by metric."""
        return {
            metric: counter for metric, meter in self._meters.items() if (counter := meter.now()) is not None
        }

    def watch(self, metrics: Collection[str]) -> "Watch":
        """Of the values that one read brings."""
        return Watch(
            {metric: self._gauges[metric] for metric in metrics if metric in self._gauges},
            {metric: self._meters[metric] for metric in metrics if metric in self._meters},
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
                gauge.follow(value)

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

    def _verdict(self, metric: str, one: Value, two: Value, at: float) -> Finding | None:
        """None: the second read stands, whichever it confirms. A glitch: the first one was wrong."""
        if not isinstance(one, (int, float)) or not isinstance(two, (int, float)):
            return None
        if (meter := self._meters.get(metric)) is not None:
            within, before, is_doubtful = 2 * float(meter.rule.step), meter.raw, meter.is_doubtful(two, at)
        else:
            gauge = self._gauges[metric]
            within, before, is_doubtful = gauge.step, gauge.believed, gauge.is_doubtful(two)
        if not is_doubtful:
            return Finding(metric, "glitch", before, one)
        return None if abs(two - one) <= within else Finding(metric, "unsure", one, two)


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


def _gone_on(metric: str, counter: Counter, published: Published | None, rule: CounterRule) -> Counter:
    """The counter, where what was published of it is newer than it is."""
    if published is None or published.at <= counter.at or metric not in ACCUMULATED:
        return counter
    raw, total = published.values.get(metric), published.values.get(ACCUMULATED[metric])
    if not isinstance(raw, (int, float)) or not isinstance(total, (int, float)):
        return counter
    return resumed(counter, Decimal(repr(raw)), Decimal(repr(total)), published.at, rule)


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
