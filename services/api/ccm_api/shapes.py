"""What the REST API says beside the bus messages themselves: one model per answer or request body."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ccm_contracts.config.field import Baudrate, Device, Format, Host, Secondary, TcpPort
from ccm_contracts.config.site import Feature, Model, Role
from ccm_contracts.messages import Balance, Event, Quality, Value
from ccm_contracts.state import (
    DeviceState,
    LedState,
    LinkLedger,
    LinkState,
    ModeName,
    ModeState,
    ServiceState,
    UnitStats,
)
from ccm_contracts.types import Finite, Frozen, Slug, Timestamp
from ccm_contracts.verbs.bus_reader import Adapter, RtuFormat
from ccm_contracts.verbs.io import OutputId
from ccm_contracts.verbs.uplink import DeviceLedger

PASSWORD_MIN = 8
PASSWORD_MAX = 200
"""Characters; the upper bound keeps hashing cheap to refuse."""


class Body(Frozen):
    """Of a request: a field that does not exist is refused, for it was meant to say something."""

    model_config = ConfigDict(extra="forbid")


class SignIn(Frozen):
    """A user's name and password."""

    user: Annotated[str, Field(min_length=1, max_length=60, examples=["admin"])]
    password: Annotated[str, Field(min_length=1, max_length=PASSWORD_MAX, examples=["a long secret"])]


class PasswordChange(Frozen):
    """The password in force and the new one, at least 8 characters."""

    old: Annotated[str, Field(min_length=1, max_length=PASSWORD_MAX)]
    new: Annotated[str, Field(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX)]


class Session(Frozen):
    """Who is signed in. While `must_change_password` holds, only a new password can be set."""

    user: str
    role: Role
    must_change_password: bool
    expires: Timestamp


class NewSession(Session):
    """`token` goes into `Authorization: Bearer`; browsers use the cookie that comes with it."""

    token: str


class Interface(Frozen):
    """A network interface of the host."""

    name: str
    mac: str


class ServiceView(ServiceState):
    """`stale`: it has not announced itself for more than 15 s."""

    stale: bool


class Info(Frozen):
    """What this gateway is and how its parts do."""

    serial: str
    model: Model
    alias: str
    version: str
    features: list[Feature]
    timezone: str
    time: Timestamp
    interfaces: list[Interface]
    mode: ModeState | None
    services: list[ServiceView]
    links: list[LinkState]


class DeviceView(Frozen):
    """A configured device, whether it answers (`state`), and how its newest reading is."""

    id: Slug
    alias: str
    model: str
    line: Slug
    port: Slug | None
    host: str | None
    tcp_port: int | None
    unit: int
    poll_s: Finite
    direction: Literal["normal", "reversed"]
    enabled: bool
    online: bool
    state: DeviceState | None
    ts: Timestamp | None
    quality: Quality | None
    serial: str | None = None
    """Serial number, where synchronisation or a search noted it."""
    secondary: Secondary | None = None
    """Read through a principal."""


class DeviceList(Frozen):
    devices: list[DeviceView]


class Measured(Frozen):
    """One value in its vocabulary unit; `value` null means "not available"."""

    value: Value
    unit: str
    label: str


class DeviceData(Frozen):
    """A device's newest reading. `quality` is `stale` when it is older than max(3 x poll_s, 10 s)."""

    device: Slug
    ts: Timestamp
    quality: Quality
    age_s: Finite
    values: dict[str, Measured]


class DeviceCommandBody(Body):
    """`name` is a writable point of the device's model, see `GET /catalog/{brand}/{model}`."""

    name: Annotated[Slug, Field(examples=["power_limit"])]
    value: Annotated[Finite, Field(examples=[50])]
    broadcast: bool = False
    """To all units of the device's line at once, where its model allows it; read back from this device."""


class PlantView(Frozen):
    """A plant: who produces, who measures the grid, who stores, and its newest balance."""

    id: Slug
    alias: str
    production: list[Slug]
    grid: list[Slug]
    battery: list[Slug]
    balance: Balance | None


class PlantList(Frozen):
    plants: list[PlantView]


class PortView(Frozen):
    """A line that devices hang on. `modbus-tcp` is a device's own connection, made from its `host`."""

    id: Slug
    kind: Literal["rs485", "rs232", "tcp", "modbus-tcp"]
    alias: str
    path: str | None
    host: str | None
    tcp_port: int | None
    baudrate: int | None
    format: str | None
    role: Literal["native", "external"] | None
    devices: list[Slug]
    open: bool
    error: str | None


class PortList(Frozen):
    ports: list[PortView]
    adapters: list[Adapter] | None = None
    """Serial adapters that the host has; null where they were not asked for or bus-reader does not answer."""


class PortStats(Frozen):
    """A line's counters over the last `window_s` seconds; `utilisation` is a share, 0...1."""

    port: Slug
    open: bool
    ts: Timestamp
    error: str | None
    window_s: Finite
    utilisation: Finite
    cycle_s: Finite | None
    planned: Finite | None
    """What `utilisation` should be by the line's budget, were nothing to go wrong."""
    requests: int
    answers: int
    timeouts: int
    crc_errors: int
    exceptions: int
    foreign: int
    units: dict[str, UnitStats]


class ScanBody(Body):
    """Nothing named: a quick search, the likely parameters and units. `full` tries everything, which takes long."""

    host: Annotated[Host | None, Field(examples=["192.0.2.7"])] = None
    """For `/ports/host/scan` only: the Modbus TCP host to search."""
    tcp_port: TcpPort = 502
    depth: Literal["quick", "full"] = "quick"
    first_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    last_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    baudrates: Annotated[list[Baudrate], Field(default_factory=list, max_length=10)]
    formats: Annotated[list[RtuFormat], Field(default_factory=list, max_length=6)]


class ModeBody(Body):
    """Nothing named: enter it."""

    mode: ModeName = "synchronisation"


class BudgetBody(Body):
    """What would be changed on a line: a device added or changed, some removed, all replaced, another rate."""

    device: Device | None = Field(
        default=None,
        examples=[{"id": "m2", "port": "ext", "model": "eastron/sdm630", "unit": 2, "poll_s": 1}],
    )
    devices: Annotated[list[Device], Field(max_length=247)] | None = None
    remove: Annotated[list[Slug], Field(default=[], max_length=247)]
    baudrate: Baudrate | None = None
    format: Format | None = None


class OutputView(Frozen):
    """A relay (0 or 1) or the 0-10 V output (volts); null where io has not reported it yet."""

    id: OutputId
    alias: str
    unit: str
    minimum: Finite
    maximum: Finite
    value: Finite | None
    since: Timestamp | None = None
    reason: str = ""
    until: Timestamp | None = None
    safe: Finite
    switches: int = 0
    fault: str | None = None


class OutputList(Frozen):
    outputs: list[OutputView]


class OutputBody(Body):
    """A relay's 0 or 1, or volts. With `hold_s` it returns to its safe state unless renewed in time."""

    value: Annotated[Finite, Field(ge=0, le=10, examples=[1])]
    hold_s: Annotated[Finite, Field(gt=0, le=86_400, examples=[60])] | None = None


class LedList(Frozen):
    leds: list[LedState]


class ButtonBody(Body):
    """How long the multi-function button is pressed."""

    duration_s: Annotated[Finite, Field(gt=0, le=15, examples=[1])]


class Delivery(Frozen):
    """What history holds of each device, by sequence number, and each uplink's outbox."""

    devices: list[DeviceLedger]
    links: list[LinkState]
    ledgers: list[LinkLedger]
    """Per link and device: the last number delivered, up to where all is settled, and what is missing."""


class LoggedEvent(Event):
    """`seq` is its place in the event stream."""

    seq: int


class EventList(Frozen):
    """Newest first; `next` is the `before` of the following page, null at the end."""

    events: list[LoggedEvent]
    next: int | None


class Live(Frozen):
    status: Literal["live"] = "live"


class Ready(Frozen):
    status: Literal["ready"] = "ready"
