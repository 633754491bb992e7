"""What is kept of a period: count, mean, lowest, highest; of a counter also first, last and gain. Pure.

A gain is the sum of the steps between neighbouring values inside the period. Two summaries that follow each other
join to the summary of both, so that days come from hours, hours from quarters, quarters from minutes.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

ROLLOVER_FROM: Final = 10_000.0
"""The smallest display that is believed to have rolled over: five digits."""
ROLLOVER_NEAR: Final = 0.01
"""How near to the end of its display a counter was, and how near to 0 it is, as a share of the display."""
RESTARTED_BELOW: Final = 0.1
"""A counter that shows less than this share of what it showed has started again at 0."""


class Summary(NamedTuple):
    """One period of one series. `first` and `gain` are None for a gauge."""

    series_id: int
    ts_ms: int
    n: int
    mean: float
    low: float
    high: float
    first: float | None
    last: float
    gain: float | None


def step(before: float, after: float) -> float:
    """How much a counter counted from one value to the next; never negative.

    A fall is a rollover of a full decimal display, a restart at 0, or noise (0). A meter that was exchanged for a
    used one counts nothing either, unless it shows less than a tenth of the old one.
    """
    if after >= before:
        return after - before
    display = ROLLOVER_FROM
    while display <= before:
        display *= 10
    if before >= display * (1 - ROLLOVER_NEAR) and after <= display * ROLLOVER_NEAR:
        return display - before + after
    return max(0.0, after) if after < before * RESTARTED_BELOW else 0.0


def folded(
    rows: Iterable[Summary], start_of: Callable[[int], int], counters: AbstractSet[int]
) -> Iterator[Summary]:
    """One summary for each series and period, from summaries in the order of series and time."""
    series_id = at = n = -1
    total = low = high = first = last = gain = 0.0
    is_counter = False
    for row in rows:
        begin = start_of(row[1])
        if row[0] != series_id or begin != at:
            if n > 0:
                mean = min(max(total / n, low), high)
                counted = (first, last, gain) if is_counter else (None, last, None)
                yield Summary(series_id, at, n, mean, low, high, *counted)
            series_id, at, n, total = row[0], begin, 0, 0.0
            low, high, is_counter = row[4], row[5], row[0] in counters
            first, gain = _first(row), 0.0
        elif is_counter:
            gain += step(last, _first(row))
        n += row[2]
        total += row[2] * row[3]
        low, high, last = min(low, row[4]), max(high, row[5]), row[7]
        gain += row[8] or 0.0
    if n > 0:
        mean = min(max(total / n, low), high)
        counted = (first, last, gain) if is_counter else (None, last, None)
        yield Summary(series_id, at, n, mean, low, high, *counted)


def merged(kept: Summary, late: Summary) -> Summary:
    """A period whose single values are gone, with late ones between them.

    What a counter shows orders its values: the gain is from the lowest to the highest, as long as it never fell.
    """
    n = kept.n + late.n
    mean = (kept.n * kept.mean + late.n * late.mean) / n
    low, high = min(kept.low, late.low), max(kept.high, late.high)
    if kept.first is None or kept.gain is None:
        return kept._replace(n=n, mean=mean, low=low, high=high)
    rose = kept.gain >= kept.last - kept.first >= 0
    return kept._replace(
        n=n,
        mean=mean,
        low=low,
        high=high,
        first=low if rose else kept.first,
        last=high if rose else kept.last,
        gain=high - low if rose else max(kept.gain, late.gain or 0.0),
    )


def _first(row: Summary) -> float:
    """A gauge that has become a counter has none: its lowest value stands in."""
    return row[4] if row[6] is None else row[6]
