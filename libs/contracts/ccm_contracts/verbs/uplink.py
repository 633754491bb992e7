"""What uplink can be asked."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ccm_contracts.state import LinkLedger
from ccm_contracts.types import Border, Finite, Frozen, Slug, Timestamp

MAX_POINTS = 10_000
"""Points of one series in one answer; a longer range is answered in pages of `next_from`."""


Interval = Literal["minute", "5min", "15min", "hour", "day", "month", "year"]
"""A period of the site's clock: days have 23 to 25 hours, hours begin on the hour of the local time."""

Aggregate = Literal["mean", "min", "max", "sum", "last", "delta", "energy"]
"""`delta`: how much a counter counted. `energy`: the same, or the integral of a power, in kWh. Neither is ever
negative because a counter fell."""


class HistoryQuery(Frozen):
    """Series of devices (or plants) over `[from, to)`.

    With `points`, each series is cut into at most that many equal intervals; with `aggregate`, into the whole
    periods of `interval` that touch the range; without both, values as stored.
    """

    device: Slug
    devices: Annotated[list[Slug], Field(max_length=50)] = []
    """More devices."""
    metrics: Annotated[list[Slug], Field(max_length=50)] = []
    """None named: all that the device has."""
    start: Border = Field(alias="from")
    end: Border = Field(alias="to")
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] | None = None
    aggregate: Aggregate | None = None
    interval: Interval = "hour"


class Series(Frozen):
    """`points` are `[ts_ms, mean, min, max]`; for a text metric `[ts_ms, text, null, null]`.

    `resolution_s` 0 means "as stored". A counter shows its last value in place of the mean: see `stat`.
    """

    device: Slug
    metric: str
    unit: str
    resolution_s: Finite
    points: list[tuple[int, float | str | None, float | None, float | None]]
    stat: Aggregate = "mean"


class HistoryAnswer(Frozen):
    series: list[Series]
    next_from: Timestamp | None = None
    """Ask again from here: the range held more than `MAX_POINTS` stored values."""


GapReason = Literal[
    "device-dead",
    "not-configured",
    "gateway-off",
    "service-off",
    "line-full",
    "line-closed",
    "clock-not-set",
    "lost",
    "unknown",
]
"""`not-configured`: the device was removed or disabled. `service-off`: the gateway was on, and the service that reads
the device (of a plant, the one that computes it) was off or stood still.

`lost`: readings were taken (their sequence numbers are missing) and did not arrive.
"""


class GapsQuery(Frozen):
    """When a device (or plant) has no readings in `[from, to)`."""

    device: Slug
    start: Border = Field(alias="from")
    end: Border = Field(alias="to")


class Gap(Frozen):
    """From the last reading before to the first one after, or to the borders of what was asked for."""

    start: Timestamp = Field(alias="from")
    end: Timestamp = Field(alias="to")
    reason: GapReason
    detail: str = ""


class GapsAnswer(Frozen):
    gaps: list[Gap]
    expected_s: Finite | None = None
    """How far readings are apart usually; a gap is at least three times as long. None: there are none."""
    next_from: Timestamp | None = None
    """Ask again from here: there are more gaps than one answer carries."""


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
    """History's, by what is in the database."""
    links: list[LinkLedger] = []


class SendNow(Frozen):
    """Do not wait for the end of the latency slot."""


class SendNowDone(Frozen):
    """Messages that were held back and are sent now; what waits on the bus is being sent anyway."""

    released: int


class ConfigRead(Frozen):
    """One section of the configuration."""

    section: Annotated[str, Field(min_length=1, max_length=40)]


class ConfigSection(Frozen):
    """A section as stored, its secrets as `********`; revision 0 is the default that nobody changed."""

    section: str
    revision: int
    value: Any


class LinkTest(Frozen):
    """Settings to try before they are saved: the section of the configuration, its secrets sealed, or masked where
    the stored ones are meant.
    """

    settings: dict[str, Any]


class LinkTestStep(Frozen):
    """One step on the way to the far end. `hint` says what to do when it failed."""

    step: Annotated[str, Field(examples=["tls"])]
    outcome: Literal["ok", "failed", "unknown", "skipped"]
    text: str
    hint: str = ""


class LinkTestReport(Frozen):
    """`ok` when no step failed; the steps in their order, ended by the first that failed."""

    ok: bool
    steps: list[LinkTestStep]


class FtpSend(Frozen):
    """Make a file of what was collected since the last one, and send all that waits."""


class FtpSendStarted(Frozen):
    """How far it is can be seen in the state of the link `ftp`: `sent_files` reaches `sent_files_at_end`."""

    files: int
    """Files that wait, the new one included."""
    bytes: int
    sent_files_at_end: int
