"""Latest state, kept in the key-value bucket `ccm_state` under `{gw}.{kind}.{id}`."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ccm_contracts.types import Direction, Finite, Frozen, Slug, Timestamp


class DeviceState(Frozen):
    """Whether a device answers. `error`: what was seen last when it does not, or what it answers in place of values."""

    device: Slug
    online: bool
    since: Timestamp
    line: Slug
    unit: int
    model: str
    protocol: str = "modbus-rtu"
    serial: str | None = None
    firmware: str | None = None
    error: str | None = None
    retry_s: Finite | None = None
    """Seconds between probes while the device is silent."""
    refused: list[str] = []
    """Points that it refuses: left out, their values null, and asked for again later."""
    splits: list[int] = []
    """Addresses at which a read begins anew, for it refused them together with those before."""


class CounterState(Frozen):
    """Where one counter stands, in its metric's unit; exact decimals."""

    raw: Decimal
    """What the device showed last."""
    highest: Decimal
    """The most that it showed since its last reset; above `raw` while it jitters."""
    total: Decimal
    """What its accumulated counter shows."""


class CountersState(Frozen):
    """A device's counters by metric, so that the accumulated ones go on after a restart. `ts`: when they were read."""

    device: Slug
    ts: Timestamp
    serial: str | None = None
    direction: Direction | None = None
    """How the device was mounted then. The counters are the meter's own; in readings they may have changed places."""
    counters: dict[str, CounterState]


RESPONSE_BUCKETS_MS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Upper bounds of the response-time histogram; what is slower is in one bucket more."""


class UnitStats(Frozen):
    """What one unit did to its line since the window began."""

    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    exceptions: int = 0
    foreign: int = 0
    """Frames that were not the answer to the request: late, of another unit, or of another length."""
    response_ms: Finite | None = None
    """Smoothed time from the request's last byte to the reply's first."""
    histogram: Annotated[list[int], Field(max_length=10)] = []
    """Answers by response time: up to 2, 5, 10, 20, 50, 100, 200, 500, 1000 ms, and slower ones."""
    late: int = 0
    """Rounds that began more than an interval late."""
    wire_share: Finite = 0.0
    """Part of the window that the unit's frames, silences and time-outs took, 0...1."""


class LineState(Frozen):
    """A line's health over the last window; what `GET /ports/{id}/stats` shows."""

    line: Slug
    open: bool
    ts: Timestamp
    error: str | None = None
    window_s: Finite = 0.0
    utilisation: Finite = 0.0
    """Part of the window in which the wire was in use, 0...1."""
    cycle_s: Finite | None = None
    """Wire time of one round over all devices."""
    planned: Finite | None = None
    """What `utilisation` should be by the line's budget, were all devices to answer, 0...1."""
    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    exceptions: int = 0
    foreign: int = 0
    late: int = 0
    """Rounds of all devices that began more than an interval late."""
    units: dict[str, UnitStats] = {}


class OutputState(Frozen):
    """A relay (0 or 1) or the 0-10 V output (volts), as read back from the hardware."""

    output: Slug
    value: Finite
    since: Timestamp
    reason: str
    """Who or what decided, for people: `command by admin`, `hold time ended`, `safe state at start`."""
    until: Timestamp | None = None
    """When the hold time ends and the output returns to its safe state by itself."""
    safe: Finite = 0.0
    switches: int = 0
    """Times the contact changed, since installation."""
    fault: str | None = None


LedPattern = Literal["off", "on", "blink_1s", "blink_2s", "blip_1_in_3s", "blip_2_in_3s", "quick", "flicker"]


class LedState(Frozen):
    """One of the three LEDs of the front (manual section 4)."""

    led: Literal["blue", "green", "yellow"]
    pattern: LedPattern
    meaning: str


class FtpOutbox(Frozen):
    """What the FTP link has on the gateway's disk, and what it sends now."""

    files: int = 0
    """Finished files that wait for the server."""
    bytes: int = 0
    collecting_bytes: int = 0
    """Accepted since the last file, in no file yet."""
    oldest: Timestamp | None = None
    """End of the period of the oldest waiting file."""
    next_file: Timestamp | None = None
    """When the next file is made."""
    sending: str | None = None
    """The file on its way, with how far it got."""
    sent_bytes: int = 0
    total_bytes: int = 0
    sent_files: int = 0
    """Since the service started."""
    last_file: str | None = None
    last_sent: Timestamp | None = None


class LinkState(Frozen):
    """An uplink (history, mqtt, ftp): connected or not, and what waits to be delivered."""

    link: Slug
    enabled: bool
    connected: bool
    since: Timestamp
    error: str | None = None
    delivered: int = 0
    pending: int = 0
    """Messages on the bus that the sink has not acknowledged."""
    oldest_s: Finite | None = None
    """Age of the oldest message in hand."""
    hours_left: Finite | None = None
    """Until the stream drops something that is owed, at the present rate; None when nothing waits."""
    bytes_today: int = 0
    """Sent in the site's local day; an estimate."""
    budget_left: int | None = None
    """Bytes left of the day's budget; None without one."""
    dropped: int = 0
    """Readings that the stream dropped before they were delivered, since the ledger began."""
    ftp: FtpOutbox | None = None


class DeviceDelivery(Frozen):
    """One device on one link."""

    device: Slug
    last_seq: int
    """The newest that was delivered."""
    last_ts: Timestamp
    delivered: int = 0
    complete_to: int | None = None
    """All up to here are settled: delivered, superseded by a newer one of their slot, or named as missing."""
    complete_delivered: int | None = None
    """Of `delivered`, those up to `complete_to`; None: not known. For the next process to count on from."""


MissingReason = Literal["expired", "never-stored", "refused"]
"""`expired`: the stream's limits dropped them first. `never-stored`: they never came to the stream; an event
`outbox-dropped` or `rejected` of who measured says why. `refused`: they cannot be read, or the far end will never take
them; an event `rejected` of uplink says why.
"""


class Missing(Frozen):
    """Readings of one device that a link can never deliver."""

    device: Slug
    first_seq: int
    last_seq: int
    reason: MissingReason
    noticed: Timestamp


class LinkLedger(Frozen):
    """What a link delivered of each device, and what is missing, so that a receiver can name each reading."""

    link: Slug
    ts: Timestamp
    devices: list[DeviceDelivery] = []
    missing: list[Missing] = []
    """The newest 100 ranges."""
    dropped: int = 0
    thinned: int = 0
    """Superseded by a newer reading of the same slot (latency, or a used-up budget) and not sent."""
    refused: int = 0
    day: date | None = None
    """The site's local day that `bytes_today` counts."""
    bytes_today: int = 0


class LeaseState(Frozen):
    """Which of several uplinks on one bus delivers; renewed every 3 s, and free when that ends for 10 s."""

    owner: Annotated[str, Field(max_length=64)]
    """Empty: it was given back."""
    process: Annotated[str, Field(max_length=64)] = ""
    """Of the owner. Another one under the same name, while both live: one data directory is a copy of the other."""
    ts: Timestamp


class ModbusClient(Frozen):
    """A master that is connected to the gateway's Modbus server."""

    address: str
    requests: int
    refused: int
    """Requests that were answered with an exception."""


class SharedLineState(Frozen):
    """A line for other masters: requests answered from polled values, and on the line."""

    line: Slug
    from_memory: int
    on_line: int


class ModbusServerState(Frozen):
    listening: bool
    port: int | None = None
    error: str | None = None
    clients: list[ModbusClient] = []
    lines: list[SharedLineState] = []


class ServiceState(Frozen):
    """A service's announcement; it is stale when `ts` is older than 15 s."""

    service: Slug
    instance: str
    version: str
    ts: Timestamp
    started: Timestamp
    pid: int
    config: dict[str, int] = {}
    """Revision in force of each configuration section that the service uses."""
    problem: str | None = None


ModeName = Literal["reading", "synchronisation"]


class Assigned(Frozen):
    """A native device that synchronisation mode gave a unit, and read there."""

    line: Slug
    unit: Annotated[int, Field(ge=1, le=247)]
    serial: Annotated[str, Field(max_length=40)]
    model: str
    at: Timestamp
    device: Slug | None = None
    """Its id in the configuration, once it is there."""


class ModeState(Frozen):
    """The operating mode (manual section 6.1)."""

    mode: ModeName
    since: Timestamp
    assigned: Annotated[list[int], Field(max_length=247)] = []
    """Units that were given since the mode was entered."""
    devices: Annotated[list[Assigned], Field(max_length=64)] = []
    """The devices of the last synchronisation, and those that are not in the configuration yet."""
    until: Timestamp | None = None
    """When synchronisation mode ends by itself."""
    lines: list[Slug] = []
    """Native lines that wait for a device in assignment."""
    problem: str | None = None
    """What went wrong last: two devices at once, no unit left. None after the next success."""
