"""Turns readings and balances into what the tables hold. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, cast

from ccm_contracts.messages import Balance, Reading, Value
from ccm_uplink.history.tables import METRIC_LENGTH, QUALITIES

_NOT_VALUES: Final = frozenset({"gateway", "plant", "ts", "quality", "missing"})
BALANCE_METRICS: Final = tuple(name for name in Balance.model_fields if name not in _NOT_VALUES)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SEQ: Final = 2**63 - 1


class UnstorableError(ValueError):
    """A message that no database could hold; trying again does not help."""


class Rows(NamedTuple):
    """One message. `seq` is 0 for a balance, which has none."""

    device: str
    is_plant: bool
    ts_ms: int
    seq: int
    quality: int
    metrics: tuple[str, ...]
    numbers: tuple[float, ...]
    """Of each of `metrics`."""
    texts: Mapping[str, str]


def ms_of(moment: datetime) -> int:
    """Milliseconds since 1970 in UTC."""
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1000 + passed.microseconds // 1000


def rows_of(message: Reading | Balance) -> Rows:
    """What is stored of one message, nulls left out. Raises `UnstorableError`."""
    if isinstance(message, Balance):
        values = {name: getattr(message, name) for name in BALANCE_METRICS}
        known = {name: value for name, value in values.items() if value is not None}
        metrics, numbers = tuple(known), tuple(known.values())
        return Rows(
            message.plant, True, ms_of(message.ts), 0, QUALITIES[message.quality], metrics, numbers, _NONE
        )
    seq = message.seq
    if seq > MAX_SEQ:
        raise UnstorableError(f"seq {seq} is beyond 64 bits")
    values = message.values
    metrics = _short(tuple(values))
    numbers = cast("tuple[float, ...]", tuple(values.values()))  # the next line looks
    texts: Mapping[str, str] = _NONE
    if not _FLOATS.issuperset(map(type, numbers)):
        metrics, numbers, texts = _parted(values)
    return Rows(
        message.device, False, ms_of(message.ts), seq, QUALITIES[message.quality], metrics, numbers, texts
    )


def _parted(
    values: Mapping[str, Value],
) -> tuple[tuple[str, ...], tuple[float, ...], dict[str, str]]:
    numbers = {metric: value for metric, value in values.items() if value.__class__ is float}
    texts: dict[str, str] = {}
    for metric, value in values.items():
        if isinstance(value, str):
            texts[metric] = _storable(metric, value)
        elif isinstance(value, int):
            numbers[metric] = _number(metric, value)
    return tuple(numbers), tuple(numbers.values()), texts


_NONE: Final[Mapping[str, str]] = {}
_FLOATS: Final = frozenset({float})


@lru_cache(maxsize=1000)
def _short(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The same ones, always in the same tuple: nearly all readings of a device have the same."""
    for metric in metrics:
        if len(metric) > METRIC_LENGTH:
            raise UnstorableError(f"the metric {metric[:20]}... is longer than {METRIC_LENGTH} characters")
    return metrics


def _number(metric: str, value: int) -> float:
    """A float on the bus is finite already: the contract says so."""
    try:
        return float(value)
    except OverflowError as err:
        raise UnstorableError(f"{metric} is too large a number") from err


def _storable(metric: str, text: str) -> str:
    if "\x00" in text:
        raise UnstorableError(f"{metric} holds a NUL character")
    return text
