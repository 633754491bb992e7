"""Whether a value is believed: what jumps is read again first, what a counter did is told. Pure; of one device.

`doubts` says which values of a reply are to be read again, `settled` what is believed of both reads, `counted` what the
counters did since the last round. Nobody's clock: `at` comes in, seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ccm_bus_reader.counters import Change, Counter, CounterRule, is_doubtful, step
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
    step: Decimal
    believed: Decimal | None = None
    jumps: int = 0


class Beliefs:
    """What is believed of one device's values."""

    def __init__(self, points: Iterable[Point], counters: Mapping[str, Counter] | None = None) -> None:
        """`counters`: where they stood before, by metric."""
        points = tuple(points)
        numbers = [point for point in points if METRICS[point.metric].kind != "text"]
        self._rules = {
            point.metric: _rule_of(point) for point in numbers if METRICS[point.metric].kind == "counter"
        }
        self._gauges = {
            point.metric: _Gauge(wide)
            for point in numbers
            if point.metric not in self._rules and (wide := _step_of(point)) is not None
        }
        self.counters = {
            metric: counter for metric, counter in (counters or {}).items() if metric in self._rules
        }

    def doubts(self, values: Mapping[str, Value], at: float) -> frozenset[str]:
        """The metrics that must be read once more before they are believed."""
        return frozenset(metric for metric, value in values.items() if self._is_doubtful(metric, value, at))

    def doubts_counters(self, values: Mapping[str, Value], at: float) -> bool:
        """Whether a counter among the values that are believed now did what no counter does."""
        return any(metric in self._rules for metric in self.doubts(values, at))

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
        for metric, gauge in self._gauges.items():
            number = _number(values.get(metric))
            if number is not None:
                _follow(gauge, number)

    def counted(
        self, values: Mapping[str, Value], at: float, *, is_other_meter: bool = False
    ) -> tuple[dict[str, Value], list[Finding]]:
        """The accumulated counter of each counter among `values`, and what was no ordinary step."""
        totals: dict[str, Value] = {}
        findings: list[Finding] = []
        for metric, rule in self._rules.items():
            raw = _number(values.get(metric))
            if raw is None:
                continue
            before = self.counters.get(metric)
            if before is None:
                self.counters[metric] = Counter.begun(raw, at)
            else:
                now = step(before, raw, at, rule, is_other_meter=is_other_meter)
                self.counters[metric] = now.counter
                if now.change is not None:
                    findings.append(Finding(metric, now.change, plain(before.raw), plain(raw), lost=now.lost))
            if metric in ACCUMULATED:
                totals[ACCUMULATED[metric]] = plain(self.counters[metric].total)
        return totals, findings

    def _is_doubtful(self, metric: str, value: Value, at: float) -> bool:
        number = _number(value)
        if number is None:
            return False
        if metric in self._rules:
            counter = self.counters.get(metric)
            return counter is not None and is_doubtful(counter, number, at, self._rules[metric])
        gauge = self._gauges.get(metric)
        return gauge is not None and _jumps(gauge, number, gauge.believed)

    def _verdict(self, metric: str, first: Value, second: Value, at: float) -> Finding | None:
        """None: the second read stands, whichever it confirms. A glitch: the first one was wrong."""
        one, two = _number(first), _number(second)
        if one is None or two is None:
            return None
        if metric in self._rules:
            counter = self.counters[metric]
            agrees = abs(two - one) <= self._rules[metric].step * 2
            is_usual = not is_doubtful(counter, two, at, self._rules[metric])
            before = counter.raw
        else:
            gauge = self._gauges[metric]
            agrees = not _jumps(gauge, two, one)
            is_usual = not _jumps(gauge, two, gauge.believed)
            before = gauge.believed if gauge.believed is not None else one
        if is_usual:
            return Finding(metric, "glitch", plain(before), plain(one))
        return None if agrees else Finding(metric, "unsure", plain(one), plain(two))


def _follow(gauge: _Gauge, number: Decimal) -> None:
    if _jumps(gauge, number, gauge.believed):
        gauge.jumps += 1
        if gauge.jumps >= WIDEN_AFTER:
            gauge.step, gauge.jumps = gauge.step * 2, 0
    else:
        gauge.jumps = 0
    gauge.believed = number


def _jumps(gauge: _Gauge, number: Decimal, reference: Decimal | None) -> bool:
    return reference is not None and abs(number - reference) > gauge.step


def _number(value: Value) -> Decimal | None:
    return Decimal(repr(value)) if isinstance(value, (int, float)) else None


def _step_of(point: Point) -> Decimal | None:
    return point.step if point.step is not None else STEP_OF_UNIT.get(METRICS[point.metric].unit)


def _rule_of(point: Point) -> CounterRule:
    smallest = resolution_of(point) or FLOAT_RESOLUTION[METRICS[point.metric].unit]
    return CounterRule(smallest, point.step if point.step is not None else PER_HOUR, _range_of(point))


def _range_of(point: Point) -> Decimal | None:
    """Where the counter begins again: as the profile says, or where its type ends."""
    if point.rollover is not None:
        return point.rollover
    if point.type in ("u16", "u32") and point.scale_register is None:
        return abs(point.scale) * Decimal(2) ** (16 * REGISTERS_OF[point.type])
    return None
