"""What bus-reader can be asked."""

from typing import Annotated, Final, Literal

from pydantic import Field

from ccm_contracts.config.field import Baudrate, Device, Format, Host, TcpPort
from ccm_contracts.types import Finite, Frozen, Slug, Timestamp

MOST_FRAMES = 2000
"""Frames of a line that are kept, and the most in one answer."""
MOST_ADAPTERS = 100
"""Serial adapters in one answer."""


class DeviceCommand(Frozen):
    """Write one named point of a device; `name` is a writable point of its profile."""

    device: Slug
    name: Slug
    value: Finite
    broadcast: bool = False
    """To all units of the device's line at once, where its profile allows it; read back from this device."""


class DeviceCommandDone(Frozen):
    """`value` is what the device holds now, read back."""

    device: Slug
    name: Slug
    value: float


class CatalogQuery(Frozen):
    """All models, or those of one brand, or one model with its points (`model`)."""

    brand: Slug | None = None
    model: Annotated[str, Field(max_length=100)] | None = None


class CatalogPoint(Frozen):
    """One readable value of a model."""

    metric: str
    unit: str
    poll: Literal["fast", "slow", "once"]
    resolution: float | None = None


class CatalogCommand(Frozen):
    """One writable value of a model."""

    name: str
    label: str
    unit: str = ""
    minimum: float
    maximum: float


class CatalogModel(Frozen):
    """One model as the installer chooses it: type, brand, class, series, model (manual section 6.2.1.4.3)."""

    id: str
    type: str
    brand: str
    device_class: str
    series: str
    model: str
    protocol: str
    source: str
    native: bool = False
    own: bool = False
    """From a file of the site's own."""
    secondaries: int = 0
    """How many secondary devices can be read through it."""
    points: list[CatalogPoint] = []
    commands: list[CatalogCommand] = []


class CatalogList(Frozen):
    models: list[CatalogModel]


RtuFormat = Annotated[str, Field(pattern=r"^8[NEO][12]$")]
"""RTU needs eight data bits."""


HOST_LINE: Final = "host"
"""The line's name in a search of a host that no device is configured at."""


class ScanRequest(Frozen):
    """Look for devices on `line`. Nothing named means: what is likely first, then (`full`) everything.

    On the line `host`: at that Modbus TCP host, which needs no device in the configuration.
    """

    line: Slug
    host: Host | None = None
    tcp_port: TcpPort = 502
    depth: Literal["quick", "full"] = "quick"
    first_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    last_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    baudrates: Annotated[list[Baudrate], Field(max_length=10)] = []
    formats: Annotated[list[RtuFormat], Field(max_length=6)] = []


class ScanCancel(Frozen):
    """End the search on `line`; what was found so far is kept."""

    line: Slug


class SetMode(Frozen):
    """Enter or leave synchronisation mode; `toggle` is what the button does."""

    mode: Literal["reading", "synchronisation", "toggle"]


class BudgetQuery(Frozen):
    """What a line's plan would cost with these devices, and at another rate where one is given."""

    line: Slug
    devices: Annotated[list[Device], Field(max_length=247)]
    baudrate: Baudrate | None = None
    format: Format | None = None


class DeviceBudget(Frozen):
    """One device of the plan, should all answer. Wire times with silence and turnaround, s."""

    device: Slug
    interval_s: Finite
    """Wanted between two rounds."""
    reachable_s: Finite
    """What the line can keep."""
    kept: bool
    slow_interval_s: Finite
    share: Finite
    """Of the wire, 0...1, at the reachable interval."""
    reads: int
    """Requests of a fast round."""
    fast_s: Finite
    """A round of the fast points."""
    full_s: Finite
    """A round of the fast and slow points."""


class LineBudget(Frozen):
    """`wanted` is the share of the wire that all intervals together ask for: above 1 not all can be kept."""

    line: Slug
    wanted: Finite
    utilisation: Finite
    """Share of the wire that will be in use, 0...1."""
    cycle_s: Finite
    """Wire time of one fast round of all devices."""
    fits: bool
    devices: list[DeviceBudget]
    advice: list[str] = []
    """What cannot be kept, and what helps, for people."""


class TraceQuery(Frozen):
    """The newest frames of a line, after the number `after`; at most `limit`."""

    line: Slug
    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_FRAMES)] = 200


class TraceFrame(Frozen):
    """A frame that went over the line. `ts` is that of its last byte (tx: of its first)."""

    number: int
    ts: Timestamp
    direction: Literal["tx", "rx"]
    hex: str
    kind: Literal["request", "echo", "answer", "exception", "foreign", "corrupt", "noise"]
    meaning: str


class TraceAnswer(Frozen):
    """Oldest first. `missed`: frames between `after` and the first one that are no longer kept."""

    line: Slug
    frames: list[TraceFrame]
    missed: int = 0


class CaptureQuery(Frozen):
    line: Slug


class CaptureDone(Frozen):
    """All frames that are kept, as a pcap file in Base64."""

    line: Slug
    frames: int
    pcap: str


class AdaptersQuery(Frozen):
    """Which serial adapters there are."""


class Adapter(Frozen):
    """A serial port of the host. `path` is what a port of the configuration should name."""

    path: str
    node: str
    """The device node, which may become another's when adapters are plugged in in another order."""
    name: str = ""
    """What a USB adapter says of itself."""


class AdapterList(Frozen):
    adapters: list[Adapter]
