"""The table of what is published on the bus: subject, model, kind, owner, readers, limits.

Typed publish and consume (`ccm_kit.bus`), stream and bucket creation, each service's NATS permissions
(`permissions.py`) and `docs/asyncapi.yaml` (`asyncapi.py`) all derive from it, and from the requests in
`verb_table.py`, and so cannot disagree.
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


def channels_owned_by(service: Service) -> Iterator[Channel[Any]]:
    return (channel for channel in CHANNELS if service in channel.owners)


def channels_read_by(service: Service) -> Iterator[Channel[Any]]:
    return (channel for channel in CHANNELS if service in channel.readers)
