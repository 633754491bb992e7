"""The table of the requests that services answer: arguments, result, who may call. The other half of `channels.py`."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ccm_contracts import subjects
from ccm_contracts.channels import Service
from ccm_contracts.scan_state import ScanState
from ccm_contracts.state import ModeState
from ccm_contracts.types import Frozen
from ccm_contracts.verbs import bus_reader, io, profiles, uplink

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
