"""What `/history` answers."""

from pydantic import Field

from ccm_contracts.types import Finite, Frozen, Slug, Timestamp
from ccm_contracts.verbs.uplink import Aggregate, GapReason

HistoryPoint = tuple[Timestamp, float | str | None, float | None, float | None]


class HistorySeries(Frozen):
    """`points` are `[ts, mean, min, max]`; `resolution_s` 0 means "as stored".

    `stat` is what stands in place of the mean: of a counter its last value, with `aggregate` what was asked for.
    """

    device: Slug
    metric: str
    unit: str
    resolution_s: Finite
    stat: Aggregate
    points: list[HistoryPoint]


class History(Frozen):
    """`next` is the `from` that continues a range with more points than one answer carries."""

    series: list[HistorySeries]
    next: Timestamp | None = None


class GapView(Frozen):
    start: Timestamp = Field(alias="from")
    end: Timestamp = Field(alias="to")
    reason: GapReason
    detail: str


class Gaps(Frozen):
    """`expected_s` is how far readings are apart usually; `next` is the `from` that goes on where there are more."""

    device: Slug
    expected_s: Finite | None
    gaps: list[GapView]
    next: Timestamp | None = None
