"""One record of a file: what a reading or a balance said, with its columns and their units. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from ccm_contracts.messages import Balance
from ccm_contracts.metrics import METRICS

Value = int | float | str | None

_NOT_VALUES: Final = frozenset({"gateway", "plant", "ts", "quality", "missing"})
BALANCE_METRICS: Final = tuple(name for name in Balance.model_fields if name not in _NOT_VALUES)
DECIMALS: Final = 6
FIGURES: Final = ("mean", "min", "max", "last", "delta")
_ORDER: Final = {name: place for place, name in enumerate((*METRICS, *BALANCE_METRICS))}


@dataclass(frozen=True, slots=True)
class Record:
    """`device` is a plant's id for a balance, which has no `seq`. `ts` is as on the bus: UTC with milliseconds.

    `values` are by column: a metric, or of a period a metric and its figure, such as `p mean`.
    """

    device: str
    ts: datetime
    seq: int | None
    quality: str
    values: dict[str, Value]


def record_of(line: bytes) -> Record:
    """From a message's JSON, which was checked when it came in."""
    message: dict[str, Any] = json.loads(line)
    ts = datetime.fromisoformat(message["ts"])
    if "plant" in message:
        values = {name: message.get(name) for name in BALANCE_METRICS}
        return Record(message["plant"], ts, None, message["quality"], values)
    return Record(message["device"], ts, message["seq"], message["quality"], message["values"])


def is_counter(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].kind == "counter"


def as_in_history(record: Record) -> Record:
    """`/history` shows gauges with six decimals and counters as they are; files say the same."""
    values = {metric: _shown(metric, value) for metric, value in record.values.items()}
    return replace(record, values=values)


def _shown(metric: str, value: Value) -> Value:
    return round(value, DECIMALS) if isinstance(value, float) and not is_counter(metric) else value


def unit_of(column: str) -> str:
    """Empty where the metric has none or is not in the vocabulary."""
    metric = column.partition(" ")[0]
    if metric in METRICS:
        return METRICS[metric].unit
    return "W" if metric in BALANCE_METRICS and metric.startswith("p_") else ""


def in_order(columns: Iterable[str]) -> list[str]:
    """As screens show them; those outside the vocabulary last, by name."""

    def place(column: str) -> tuple[int, str, int]:
        metric, _, figure = column.partition(" ")
        return _ORDER.get(metric, len(_ORDER)), metric, FIGURES.index(figure) if figure in FIGURES else -1

    return sorted(columns, key=place)


def local_time(moment: datetime, zone: ZoneInfo) -> str:
    """ISO 8601 with milliseconds and offset: `2026-11-24T23:15:00.250+01:00`."""
    return moment.astimezone(zone).isoformat(timespec="milliseconds")
