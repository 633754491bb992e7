"""The table of everything that crosses the bus: subject, model, kind, owner, readers, limits.

Typed publish and consume (`ccm_kit.bus`), stream and bucket creation, each service's NATS permissions
(`permissions.py`) and `docs/asyncapi.yaml` (`asyncapi.py`) all derive from it and so cannot disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from ccm_contracts import subjects
from ccm_contracts.config.document import SECTIONS
from ccm_contracts.messages import Balance, Event, Reading
from ccm_contracts.scan_state import ScanState
from ccm_contracts.state import (
    CountersState,
    DeviceState,
    LeaseState,
    LedState,
    LineState,
    LinkLedger,
    LinkState,
    ModbusServerState,
    ModeState,
    OutputState,
    ServiceState,
)
from ccm_contracts.types import Frozen
from ccm_contracts.verbs import bus_reader, io, profiles, uplink

Service = Literal["bus-reader", "solar", "uplink", "io", "api"]
SERVICES: tuple[Service, ...] = ("bus-reader", "solar", "uplink", "io", "api")

DAY_S = 86_400
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream on disk; at a limit the oldest message goes first."""

    name: str
    summary: str
    max_age_s: int
    max_bytes: int
    max_message: int = 64 * 1024
    duplicate_window_s: int = 900
    """Longer than a producer's spool (600 s), so that what it sends again is stored once."""


TELEMETRY_STREAM = Stream(
    "CCM_TELEMETRY",
    "Readings and balances: the store-and-forward buffer of every sink",
    max_age_s=30 * DAY_S,
    max_bytes=1024 * MIB,
)
EVENTS_STREAM = Stream("CCM_EVENTS", "Events and alarms", max_age_s=90 * DAY_S, max_bytes=64 * MIB)
STREAMS: tuple[Stream, ...] = (TELEMETRY_STREAM, EVENTS_STREAM)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A JetStream key-value bucket on disk."""

    name: str
    summary: str
    max_bytes: int
    history: int = 1
    max_value: int = 512 * 1024

    @property
    def stream(self) -> str:
        return f"KV_{self.name}"


CONFIG_BUCKET = Bucket(
    subjects.CONFIG_BUCKET, "The configuration document, one key a section", max_bytes=64 * MIB, history=20
)
STATE_BUCKET = Bucket(
    subjects.STATE_BUCKET, "The latest state of everything that has one", max_bytes=64 * MIB
)
BUCKETS: tuple[Bucket, ...] = (CONFIG_BUCKET, STATE_BUCKET)

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Channel(Generic[M]):
    """Messages of one model on one pattern of subjects, kept in one stream or bucket."""

    name: str
    pattern: str
    adapter: TypeAdapter[M]
    kept_in: Stream | Bucket
    owners: tuple[Service, ...]
    readers: tuple[Service, ...]
    summary: str
    max_message: int = 64 * 1024
    fixed: dict[str, str] = field(default_factory=dict)
    """Variables of the pattern that this channel sets: the `kind` of a state, the `section` of a configuration."""

    def subject(self, **ids: str) -> str:
        return subjects.fill(self.pattern, **self.fixed, **ids)

    def parse(self, subject: str) -> dict[str, str] | None:
        """The ids in a subject of this channel, or None when it belongs to another."""
        ids = subjects.parse(self.pattern, subject)
        if ids is None or any(ids[name] != value for name, value in self.fixed.items()):
            return None
        return ids

    @property
    def stream(self) -> str:
        return self.kept_in.name if isinstance(self.kept_in, Stream) else self.kept_in.stream


A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)


@dataclass(frozen=True, slots=True)
class Verb(Generic[A, R]):
    """A request that one service answers. `mutates`: a repeat of its `command_id` returns the first answer."""

    service: Service
    verb: str
    args: type[A]
    result: type[R]
    callers: tuple[Service, ...]
    summary: str
    mutates: bool = False
    timeout_s: float = 5.0

    @property
    def name(self) -> str:
        return f"{self.service}.{self.verb}"

    def subject(self, gateway: str = "*") -> str:
        return subjects.fill(subjects.REQUEST, gw=gateway, service=self.service, verb=self.verb)


TELEMETRY = Channel(
    "telemetry",
    subjects.TELEMETRY,
    TypeAdapter(Reading),
    TELEMETRY_STREAM,
    owners=("bus-reader",),
    readers=("solar", "uplink", "api", "bus-reader"),
    summary="One reading of one device",
)
PLANT = Channel(
    "plant",
    subjects.PLANT,
    TypeAdapter(Balance),
    TELEMETRY_STREAM,
    owners=("solar",),
    readers=("uplink", "api", "io", "bus-reader"),
    summary="A plant's power balance",
)
EVENT = Channel(
    "event",
    subjects.EVENT,
    TypeAdapter(Event),
    EVENTS_STREAM,
    owners=SERVICES,
    readers=("uplink", "api"),
    summary="Something that an operator may want to know",
)


def _state(
    kind: str,
    model: type[M],
    owners: tuple[Service, ...],
    summary: str,
    max_message: int = 64 * 1024,
    readers: tuple[Service, ...] = (),
) -> Channel[M]:
    return Channel(
        f"state-{kind}",
        subjects.STATE,
        TypeAdapter(model),
        STATE_BUCKET,
        owners=owners,
        readers=("api", "io", *(each for each in (*owners, *readers) if each not in ("api", "io"))),
        summary=summary,
        max_message=max_message,
        fixed={"kind": kind},
    )


DEVICE_STATE = _state("device", DeviceState, ("bus-reader",), "Whether a device answers")
COUNTERS_STATE = _state("counters", CountersState, ("bus-reader",), "Where a device's energy counters stand")
LINE_STATE = _state("line", LineState, ("bus-reader",), "A line's health over the last window")
MODE_STATE = _state("mode", ModeState, ("bus-reader",), "Reading or synchronisation mode")
SCAN_STATE = _state(
    "scan", ScanState, ("bus-reader",), "A search for devices on a line, and what it found", 256 * 1024
)
OUTPUT_STATE = _state("output", OutputState, ("io",), "A relay or the 0-10 V output", readers=("bus-reader",))
MODBUS_STATE = _state("modbus", ModbusServerState, ("bus-reader",), "The Modbus server and who is connected")
LED_STATE = _state("led", LedState, ("io",), "An LED of the front")
LINK_STATE = _state("link", LinkState, ("uplink",), "An uplink and its outbox")
LEDGER_STATE = _state("ledger", LinkLedger, ("uplink",), "What an uplink delivered of each device")
LEASE_STATE = _state("lease", LeaseState, ("uplink",), "Which of several uplinks delivers")
SERVICE_STATE = _state("service", ServiceState, SERVICES, "A service's announcement, every 5 s")

CONFIG: dict[str, Channel[Any]] = {
    section: Channel(
        f"config-{section}",
        subjects.CONFIG,
        adapter,
        CONFIG_BUCKET,
        owners=("api",),
        readers=SERVICES,
        summary=f"Section `{section}` of the configuration document",
        max_message=CONFIG_BUCKET.max_value,
        fixed={"section": section},
    )
    for section, adapter in SECTIONS.items()
}

CHANNELS: tuple[Channel[Any], ...] = (
    TELEMETRY,
    PLANT,
    EVENT,
    DEVICE_STATE,
    COUNTERS_STATE,
    LINE_STATE,
    MODE_STATE,
    SCAN_STATE,
    OUTPUT_STATE,
    MODBUS_STATE,
    LED_STATE,
    LINK_STATE,
    LEDGER_STATE,
    LEASE_STATE,
    SERVICE_STATE,
    *CONFIG.values(),
)

DEVICE_COMMAND = Verb(
    "bus-reader",
    "command",
    bus_reader.DeviceCommand,
    bus_reader.DeviceCommandDone,
    callers=("api", "uplink", "solar"),
    summary="Write one named point of a device and read it back",
    mutates=True,
    timeout_s=10.0,
)
CATALOG = Verb(
    "bus-reader",
    "catalog",
    bus_reader.CatalogQuery,
    bus_reader.CatalogList,
    callers=("api",),
    summary="The models that can be read",
)
PROFILES = Verb(
    "bus-reader",
    "profiles",
    profiles.ProfileQuery,
    profiles.ProfileList,
    callers=("api",),
    summary="The site's own device profiles, or the text of one",
)
PROFILE_PUT = Verb(
    "bus-reader",
    "profile-put",
    profiles.ProfilePut,
    profiles.ProfilePutDone,
    callers=("api",),
    summary="Check a device profile and store it; its models can be read at once",
    mutates=True,
    timeout_s=10.0,
)
PROFILE_REMOVE = Verb(
    "bus-reader",
    "profile-remove",
    profiles.ProfileRemove,
    profiles.ProfileRemoved,
    callers=("api",),
    summary="Remove a device profile of the site's own",
    mutates=True,
    timeout_s=10.0,
)
SCAN_START = Verb(
    "bus-reader",
    "scan-start",
    bus_reader.ScanRequest,
    ScanState,
    callers=("api",),
    summary="Look for devices on a line; progress and results are its state",
    mutates=True,
)
SCAN_CANCEL = Verb(
    "bus-reader",
    "scan-cancel",
    bus_reader.ScanCancel,
    ScanState,
    callers=("api",),
    summary="End the search on a line",
    mutates=True,
)
SET_MODE = Verb(
    "bus-reader",
    "mode",
    bus_reader.SetMode,
    ModeState,
    callers=("api", "io"),
    summary="Enter or leave synchronisation mode",
    mutates=True,
)
BUDGET = Verb(
    "bus-reader",
    "budget",
    bus_reader.BudgetQuery,
    bus_reader.LineBudget,
    callers=("api",),
    summary="What a line's plan would cost, before it is applied",
)
TRACE = Verb(
    "bus-reader",
    "trace",
    bus_reader.TraceQuery,
    bus_reader.TraceAnswer,
    callers=("api",),
    summary="The newest frames of a line, decoded",
)
CAPTURE = Verb(
    "bus-reader",
    "capture",
    bus_reader.CaptureQuery,
    bus_reader.CaptureDone,
    callers=("api",),
    summary="The frames of a line as a file that Wireshark opens",
)
ADAPTERS = Verb(
    "bus-reader",
    "adapters",
    bus_reader.AdaptersQuery,
    bus_reader.AdapterList,
    callers=("api",),
    summary="The serial adapters that are there",
)
HISTORY = Verb(
    "uplink",
    "history",
    uplink.HistoryQuery,
    uplink.HistoryAnswer,
    callers=("api",),
    summary="Stored series of one device or plant",
    timeout_s=15.0,
)
GAPS = Verb(
    "uplink",
    "gaps",
    uplink.GapsQuery,
    uplink.GapsAnswer,
    callers=("api",),
    summary="When a device has no readings, and why",
    timeout_s=15.0,
)
LEDGER = Verb(
    "uplink",
    "ledger",
    uplink.LedgerQuery,
    uplink.Ledger,
    callers=("api",),
    summary="What history holds of each device, by sequence number",
    timeout_s=15.0,
)
MQTT_TEST = Verb(
    "uplink",
    "mqtt-test",
    uplink.LinkTest,
    uplink.LinkTestReport,
    callers=("api",),
    summary="Try MQTT settings step by step, without saving them",
    timeout_s=20.0,
)
SEND_NOW = Verb(
    "uplink",
    "send-now",
    uplink.SendNow,
    uplink.SendNowDone,
    callers=("api",),
    summary="Send what waits for the end of the MQTT latency slot",
)
FTP_TEST = Verb(
    "uplink",
    "ftp-test",
    uplink.LinkTest,
    uplink.LinkTestReport,
    callers=("api",),
    summary="Try FTP settings step by step, without saving them",
    timeout_s=25.0,
)
FTP_SEND = Verb(
    "uplink",
    "ftp-send",
    uplink.FtpSend,
    uplink.FtpSendStarted,
    callers=("api",),
    summary="Make a file now and send all that waits",
    mutates=True,
    timeout_s=15.0,
)
SET_OUTPUT = Verb(
    "io",
    "output",
    io.SetOutput,
    io.OutputDone,
    callers=("api", "uplink", "solar", "bus-reader"),
    summary="Switch a relay or set the 0-10 V output",
    mutates=True,
)
PRESS_BUTTON = Verb(
    "io",
    "button",
    io.PressButton,
    io.ButtonDone,
    callers=("api",),
    summary="Press the multi-function button",
    mutates=True,
)

VERBS: tuple[Verb[Any, Any], ...] = (
    DEVICE_COMMAND,
    CATALOG,
    PROFILES,
    PROFILE_PUT,
    PROFILE_REMOVE,
    SCAN_START,
    SCAN_CANCEL,
    SET_MODE,
    BUDGET,
    TRACE,
    CAPTURE,
    ADAPTERS,
    HISTORY,
    GAPS,
    LEDGER,
    MQTT_TEST,
    SEND_NOW,
    FTP_TEST,
    FTP_SEND,
    SET_OUTPUT,
    PRESS_BUTTON,
)


def channels_owned_by(service: Service) -> Iterator[Channel[Any]]:
    return (channel for channel in CHANNELS if service in channel.owners)


def channels_read_by(service: Service) -> Iterator[Channel[Any]]:
    return (channel for channel in CHANNELS if service in channel.readers)
