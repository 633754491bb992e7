"""Sections of the uplinks: MQTT, FTP, history (manual sections 6.2.1.3 and 6.2.1.6.3)."""

import re
from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from ccm_contracts.config.field import Host, TcpPort
from ccm_contracts.types import Frozen, Secret

_ADDRESS: Final = re.compile(r"(mqtts?)://([^/:\s]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?/?")

Latency = Literal[0, 10, 60, 300, 900, 3600]
"""Seconds between messages of one device; 0 is every reading, in order."""


class Tls(Frozen):
    """How the broker's certificate is checked; PEM texts."""

    type: Literal["none", "ca", "self-signed"] = "none"
    certificate: Annotated[str, StringConstraints(max_length=20_000)] = ""
    client_certificate: Annotated[str, StringConstraints(max_length=20_000)] = ""
    client_key: Secret = Secret("")

    @field_validator("certificate", "client_certificate")
    @classmethod
    def _is_pem(cls, text: str) -> str:
        if text and "-----BEGIN CERTIFICATE-----" not in text:
            raise ValueError("must be PEM text: -----BEGIN CERTIFICATE----- and so on")
        return text

    @model_validator(mode="after")
    def _has_certificate(self) -> "Tls":
        if self.type == "self-signed" and not self.certificate:
            raise ValueError("a self-signed certificate must be uploaded in `certificate`")
        if bool(self.client_certificate) != bool(self.client_key):
            raise ValueError("client_certificate and client_key go together")
        return self


class Backlog(Frozen):
    """How a link catches up after an outage, and what it may cost."""

    order: Literal["live-first", "oldest-first"] = "live-first"
    """`live-first`: what is new goes at once, and beside it the backlog, oldest first."""
    rate_limit_kbps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """kbit/s of the link together; only the backlog waits for it. 0: no limit."""
    bytes_per_day: Annotated[int, Field(ge=0)] = 0
    """Budget of a local day; the backlog leaves what live messages need until midnight. 0: no limit."""


Permission = Literal["outputs", "devices", "config", "send"]
"""What commands over MQTT may do: switch outputs, command devices, read the configuration, have the outbox sent."""

TopicLevel = Annotated[str, StringConstraints(pattern=r"^[^#+/\s\x00-\x1f\x7f-\x9f]+$", max_length=60)]
"""A broker may hang up on control characters (MQTT 5 section 1.5.4), for ever."""
Prefix = Annotated[
    str,
    StringConstraints(pattern=r"^/[^#+\s\x00-\x1f\x7f-\x9f]*[^#+/\s\x00-\x1f\x7f-\x9f]$", max_length=200),
]
NO_CONTROL: Final = r"^[^\x00-\x1f\x7f]*$"
"""Line breaks and the like would be commands of their own to an FTP server; a broker hangs up on them."""


class HomeAssistant(Frozen):
    """Entities of every device and plant appear in Home Assistant by themselves (MQTT discovery)."""

    enabled: bool = False
    prefix: Annotated[
        str,
        StringConstraints(pattern=r"^[^#+\s/\x00-\x1f\x7f-\x9f][^#+\s\x00-\x1f\x7f-\x9f]*$", max_length=60),
    ] = "homeassistant"


class Sparkplug(Frozen):
    """The newest readings as Sparkplug B, over a connection of its own: its last will is the node's death."""

    enabled: bool = False
    group_id: TopicLevel = "ccm"


class Batch(Frozen):
    """Readings, and balances, several in one message: a JSON array on `{prefix_sub}/batch/telemetry` or `.../plant`."""

    enabled: bool = False
    max_messages: Annotated[int, Field(ge=2, le=500)] = 50
    max_wait_s: Annotated[int, Field(ge=0, le=3600)] = 5
    """What is new waits so long for others at most. A backlog does not wait."""


class Mqtt(Frozen):
    """The MQTT service. In the manual's terms the gateway publishes under Prefix SUB and listens under Prefix PUB."""

    enabled: bool = False
    broker: Literal["default", "own"] = "own"
    """`default`: the one that this gateway's maker or operator named in `CCM_DEFAULT_BROKER`."""
    host: Annotated[str, StringConstraints(pattern=r"^mqtts?://[^/\s\x00-\x1f\x7f]+$", max_length=260)] = (
        "mqtt://127.0.0.1"
    )
    port: TcpPort = 1883
    client_id: Annotated[str, StringConstraints(pattern=NO_CONTROL, max_length=128)] = ""
    """Empty: the gateway's serial number."""
    user: Annotated[str, StringConstraints(pattern=NO_CONTROL, max_length=256)] = ""
    password: Secret = Secret("")
    keepalive_s: Annotated[int, Field(ge=5, le=65535)] = 60
    tls: Tls = Tls()
    prefix_sub: Prefix = "/ccm/srv"
    prefix_pub: Prefix = "/ccm/dev"
    qos: Literal[0, 1, 2] = 1
    latency_s: Latency = 10
    accept_commands: bool = True
    backlog: Backlog = Backlog()
    allow: Annotated[list[Permission], Field(max_length=4)] = ["outputs", "devices", "config", "send"]
    """What commands may do while `accept_commands` holds."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto`: MQTT 5, and 3.1.1 with a broker that refuses it."""
    home_assistant: HomeAssistant = HomeAssistant()
    sparkplug: Sparkplug = Sparkplug()
    batch: Batch = Batch()
    compression: Literal["none", "gzip"] = "none"
    """Of readings, balances and events; status and answers stay plain."""

    @field_validator("host", mode="before")
    @classmethod
    def _begins_with_its_scheme(cls, host: object) -> object:
        if isinstance(host, str) and not re.match(r"mqtts?://.", host):
            raise ValueError(
                "must begin with mqtt:// or, encrypted, mqtts:// and go on with a name or an address"
            )
        return host

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        name = host.partition("://")[2]
        if "@" in name:
            raise ValueError("must not hold a user and a password: they have fields of their own")
        if re.fullmatch(r"[^:]*:\d*|\[.*\]:\d*", name):
            raise ValueError("must not hold a port: it has a field of its own")
        return host

    @model_validator(mode="after")
    def _prefixes_differ(self) -> "Mqtt":
        if self.prefix_sub == self.prefix_pub:
            raise ValueError("prefix_sub and prefix_pub must differ, for example /site/srv and /site/dev")
        if f"{self.prefix_sub}/".startswith(f"{self.prefix_pub}/command/"):
            text = "prefix_sub must not lie under prefix_pub/command"
            raise ValueError(f"{text}: the gateway would take its own messages for commands")
        return self

    @model_validator(mode="after")
    def _home_assistant_can_read(self) -> "Mqtt":
        if self.home_assistant.enabled and (self.batch.enabled or self.compression != "none"):
            raise ValueError("home_assistant reads single plain messages: switch batch and compression off")
        return self

    def at(self, default_broker: str) -> "Mqtt":
        """These settings with the address of `default_broker` where the default one is chosen.

        `mqtt[s]://host[:port]`; raises `ValueError` when there is none or it is not of that form.
        """
        if self.broker == "own":
            return self
        found = _ADDRESS.fullmatch(default_broker)
        if found is None:
            raise ValueError("this gateway has no default broker: choose your own, or set CCM_DEFAULT_BROKER")
        scheme, host, port = found.groups()
        usual = 8883 if scheme == "mqtts" else 1883
        return self.model_copy(update={"host": f"{scheme}://{host}", "port": int(port or usual)})

    @property
    def uses_tls(self) -> bool:
        return self.host.startswith("mqtts://")

    @property
    def hostname(self) -> str:
        return self.host.partition("://")[2]


class Ftp(Frozen):
    """The FTP service; what is sent and when is in `historic`."""

    enabled: bool = False
    server: Host = "127.0.0.1"
    port: TcpPort = 21
    directory: Annotated[str, StringConstraints(pattern=NO_CONTROL, max_length=300)] = "/"
    """Made when it does not exist, with its parents."""
    user: Annotated[str, StringConstraints(pattern=NO_CONTROL, max_length=256)] = ""
    password: Secret = Secret("")
    tls: Literal["none", "explicit", "implicit"] = "none"
    """`explicit`: AUTH TLS on the usual port 21; `implicit`: TLS from the first byte, usually on port 990."""
    tls_certificate: Tls = Tls()
    """How the server's certificate is checked where `tls` is not `none`; an unknown one is always refused."""
    backlog: Backlog = Backlog()
    """`live-first`: after an outage the newest file goes first, then the others, oldest first."""

    @field_validator("server")
    @classmethod
    def _has_no_brackets(cls, server: str) -> str:
        return server.removeprefix("[").removesuffix("]")

    @field_validator("password")
    @classmethod
    def _is_one_line(cls, password: Secret) -> Secret:
        if any(ord(character) < 32 for character in password.reveal()):
            raise ValueError("must not hold line breaks or control characters")
        return password


class HistoricFtp(Frozen):
    """When a file is sent: at `at` (site time), and every `every_s` after it until the next day's `at`."""

    enabled: bool = False
    every_s: Annotated[int, Field(ge=60, le=86_400)] = 900
    at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """None is midnight."""


class Csv(Frozen):
    """How CSV files are written, so that the reader's spreadsheet opens them with a click."""

    delimiter: Literal[",", ";", "tab"] = ","
    decimal: Literal[".", ","] = "."
    bom: bool = False
    """A byte order mark at the start: Excel needs it to read UTF-8."""

    @model_validator(mode="after")
    def _marks_differ(self) -> "Csv":
        if self.delimiter == self.decimal:
            raise ValueError("delimiter and decimal must differ: with a decimal comma use ; or tab")
        return self

    @property
    def separator(self) -> str:
        return "\t" if self.delimiter == "tab" else self.delimiter


Days = Annotated[int, Field(ge=0, le=36_600)]


class Retention(Frozen):
    """How many days each resolution is kept; 0 is for ever. A coarser one is kept at least as long as a finer one."""

    raw_days: Days = 30
    """Single readings."""
    m1_days: Days = 400
    """Minutes."""
    m15_days: Days = 1830
    """Quarters of an hour."""
    h1_days: Days = 3660
    """Hours."""
    d1_days: Days = 0
    """Days."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Retention":
        days = [(name, getattr(self, name) or 10**9) for name in type(self).model_fields]
        for (finer, least), (coarser, number) in pairwise(days):
            if number < least:
                raise ValueError(f"{coarser} must be at least {finer}, or 0 (for ever)")
        return self


class Historic(Frozen):
    """What is stored on the gateway, and how it is sent in files."""

    enabled: bool = True
    latency_s: Literal[0, 60, 300, 900, 3600] = 0
    """0 is every reading; otherwise mean, minimum and maximum (of counters last value and delta) of each period."""
    format: Literal["csv", "json"] = "csv"
    csv: Csv = Csv()
    ftp: HistoricFtp = HistoricFtp()
    retention: Retention = Retention()
    max_mb: Annotated[int, Field(ge=0, le=10_000_000)] = 4096
    """Budget of the database file in MB, 0 for none. Over it the oldest single readings go first, then the oldest
    minutes, quarters and hours; days stay. PostgreSQL is bounded by `retention` alone."""
