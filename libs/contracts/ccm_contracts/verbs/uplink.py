"""What uplink can be asked."""

from typing import Annotated

from pydantic import Field

from ccm_contracts.types import Finite, Frozen, Slug, Timestamp

MAX_POINTS = 10_000
"""Points of one series in one answer; a longer range is answered in pages of `next_from`."""


class HistoryQuery(Frozen):
    """Series of one device (or plant) over `[from, to)`.

    With `points`, each series is cut into at most that many equal intervals; without, values as stored.
    """

    device: Slug
    metrics: Annotated[list[Slug], Field(max_length=50)] = []
    """None named: all that the device has."""
    start: Timestamp = Field(alias="from")
    end: Timestamp = Field(alias="to")
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] | None = None


class Series(Frozen):
    """`points` are `[ts_ms, mean, min, max]`; for a text metric `[ts_ms, text, null, null]`.

    `resolution_s` 0 means "as stored".
    """

    device: Slug
    metric: str
    unit: str
    resolution_s: Finite
    points: list[tuple[int, float | str | None, float | None, float | None]]


class HistoryAnswer(Frozen):
    series: list[Series]
    next_from: Timestamp | None = None
    """Ask again from here: the range held more than `MAX_POINTS` stored values."""


class LedgerQuery(Frozen):
    """What was delivered so far."""


class DeviceLedger(Frozen):
    """One device (or plant) in one sink: the last sequence stored, how many, and what is missing between."""

    device: Slug
    first_seq: int
    last_seq: int
    readings: int
    last_ts: Timestamp


class Ledger(Frozen):
    devices: list[DeviceLedger]
