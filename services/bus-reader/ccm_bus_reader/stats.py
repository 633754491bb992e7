"""Counts what each unit does to its line, and turns it into the line's published state. Pure."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ccm_contracts.state import RESPONSE_BUCKETS_MS, LineState, UnitStats

if TYPE_CHECKING:
    from ccm_bus_reader.outcome import Answer, Failure

SMOOTHING: Final = 1 / 8
WINDOW_S: Final = 60.0
"""Counters begin anew after so long."""


@dataclass(slots=True)
class Counters:
    """One unit, since its line's window began."""

    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    exceptions: int = 0
    foreign: int = 0
    busy_s: float = 0.0
    response_s: float | None = None
    late: int = 0
    histogram: list[int] = field(default_factory=lambda: [0] * (len(RESPONSE_BUCKETS_MS) + 1))

    def answered(self, answer: "Answer") -> None:
        self.answers += 1
        self.exceptions += answer.exception is not None
        self.histogram[bisect_left(RESPONSE_BUCKETS_MS, answer.response_s * 1000)] += 1
        old = answer.response_s if self.response_s is None else self.response_s
        self.response_s = old + SMOOTHING * (answer.response_s - old)

    def failed(self, failure: "Failure") -> None:
        self.timeouts += failure.kind in ("timeout", "foreign", "doubtful")
        self.crc_errors += failure.kind in ("corrupt", "garbled")

    def published(self, window_s: float) -> UnitStats:
        return UnitStats(
            requests=self.requests,
            answers=self.answers,
            timeouts=self.timeouts,
            crc_errors=self.crc_errors,
            exceptions=self.exceptions,
            foreign=self.foreign,
            response_ms=None if self.response_s is None else round(self.response_s * 1000, 2),
            histogram=self.histogram[:],
            late=self.late,
            wire_share=round(min(1.0, self.busy_s / window_s), 4) if window_s else 0.0,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a line should do: `cycle_s` for one round over all devices, `planned` as a share of it, `lanes` at once."""

    cycle_s: float
    planned: float
    lanes: int


def line_state(
    line: str,
    counters: Mapping[int, Counters],
    *,
    now: datetime,
    window_s: float,
    plan: Plan,
    error: str | None,
) -> LineState:
    """The line as the bus shows it; `error` says why it is closed."""
    units = {str(unit): each.published(window_s) for unit, each in sorted(counters.items())}
    busy_s = sum(each.busy_s for each in counters.values())
    return LineState(
        line=line,
        open=error is None,
        ts=now,
        error=error,
        window_s=round(window_s, 3),
        utilisation=round(min(1.0, busy_s / window_s / plan.lanes), 4) if window_s else 0.0,
        cycle_s=round(plan.cycle_s, 4),
        planned=round(plan.planned, 4),
        requests=sum(each.requests for each in counters.values()),
        answers=sum(each.answers for each in counters.values()),
        timeouts=sum(each.timeouts for each in counters.values()),
        crc_errors=sum(each.crc_errors for each in counters.values()),
        exceptions=sum(each.exceptions for each in counters.values()),
        foreign=sum(each.foreign for each in counters.values()),
        late=sum(each.late for each in counters.values()),
        units=units,
    )
