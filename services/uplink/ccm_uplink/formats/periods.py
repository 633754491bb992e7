"""Readings to the periods that history keeps: mean, lowest and highest; of counters last and delta. Pure.

A period is in a file once it is over. What belongs to one that is not is carried into the next file, with the last
value of each counter, so that no delta is missed between two files.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, Final

from ccm_uplink.formats.records import DECIMALS, Record, Value, is_counter, record_of
from ccm_uplink.history.calendar import Calendar, Unit
from ccm_uplink.history.rows import ms_of
from ccm_uplink.history.summary import Summary, folded, step

UNITS: Final[dict[int, Unit]] = {60: "minute", 300: "5min", 900: "15min", 3600: "hour"}
"""`historic.latency_s` to a period of the clock on the site's wall."""
WORST: Final = ("good", "stale", "bad")
_BEFORE: Final = "before"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Known = dict[str, tuple[int, float]]
Before = dict[str, Known]
"""The last value of each counter with its time in milliseconds, by device and metric."""


@dataclass(slots=True)
class Sorted:
    """The lines of a journal in the order of device and time; those of periods that are not over apart."""

    over: list[bytes] = field(default_factory=list)
    going_on: list[bytes] = field(default_factory=list)
    before: Before = field(default_factory=dict)


def sorted_lines(lines: Iterable[bytes], calendar: Calendar, unit: Unit, end: datetime) -> Sorted:
    """`end`: what belongs to a period that ends later is still going on."""
    found, end_ms = Sorted(), ms_of(end)
    keyed: list[tuple[str, int, int, bytes]] = []
    for line in lines:
        message: dict[str, Any] = json.loads(line)
        if is_note(line):
            found.before = {device: dict(known) for device, known in message[_BEFORE].items()}
            continue
        ts_ms = ms_of(datetime.fromisoformat(message["ts"]))
        if calendar.period(ts_ms, unit)[1] <= end_ms:
            keyed.append((message.get("plant") or message["device"], ts_ms, len(keyed), line))
        else:
            found.going_on.append(line)
    found.over = [line for *_, line in sorted(keyed)]
    return found


def is_note(line: bytes) -> bool:
    """Whether it is no message, but what an earlier file left."""
    return line.startswith(b'{"before"')


def in_periods(lines: Iterable[bytes], calendar: Calendar, unit: Unit, before: Before) -> Iterator[Record]:
    """One record for each device and period, stamped with the period's start. `before` is brought up to date."""
    records = map(record_of, lines)
    for (device, start_ms), members in groupby(
        records, key=lambda record: (record.device, calendar.start(ms_of(record.ts), unit))
    ):
        yield _joined(device, start_ms, list(members), before.setdefault(device, {}))


def carried(before: Before, going_on: Iterable[bytes]) -> Iterator[bytes]:
    """What the next journal begins with."""
    if any(before.values()):
        yield json.dumps({_BEFORE: before}).encode()
    yield from going_on


def _joined(device: str, start_ms: int, members: list[Record], before: Known) -> Record:
    rows: dict[str, list[Summary]] = {}
    values: dict[str, Value] = {}
    for member in members:
        at_ms = ms_of(member.ts)
        for metric, value in member.values.items():
            if isinstance(value, str):
                values[f"{metric} last"] = value
            elif value is not None:
                number = float(value)
                rows.setdefault(metric, []).append(
                    Summary(0, at_ms, 1, number, number, number, number, number, 0.0)
                )
    for metric, found in rows.items():
        values |= _figures(metric, found, before)
    seqs = [member.seq for member in members if member.seq is not None]
    quality = max((member.quality for member in members), key=WORST.index)
    start = _EPOCH + timedelta(milliseconds=start_ms)
    return Record(device, start, max(seqs, default=None), quality, values)


def _figures(metric: str, rows: list[Summary], before: Known) -> dict[str, Value]:
    counters = {0} if is_counter(metric) else set()
    (whole,) = folded(rows, lambda _: 0, counters)
    if not counters:
        return {
            f"{metric} mean": round(whole.mean, DECIMALS),
            f"{metric} min": whole.low,
            f"{metric} max": whole.high,
        }
    return {f"{metric} last": whole.last, f"{metric} delta": round(_gain(metric, rows, before), DECIMALS)}


def _gain(metric: str, rows: list[Summary], before: Known) -> float:
    """What was counted since the last value that a file had; of what came late a later value has told it already."""
    known = before.get(metric)
    new = [(row.ts_ms, row.last) for row in rows if known is None or row.ts_ms > known[0]]
    if new:
        before[metric] = new[-1]
    values = [value for _, value in ([known] if known is not None else []) + new]
    return sum(step(earlier, later) for earlier, later in pairwise(values))
