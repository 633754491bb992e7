"""Sections of the field side: ports, devices, plants."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from ccm_contracts.types import Direction, Finite, Frozen, Slug

Baudrate = Literal[300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]
Format = Annotated[str, StringConstraints(pattern=r"^[78][NEO][12]$")]
"""Data bits, parity, stop bits."""
Alias = Annotated[str, StringConstraints(max_length=60)]
Host = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.:\-\[\]%]+$", max_length=253),
    AfterValidator(lambda host: host.strip("[]") or host),
]
"""A name or an address; the brackets that an address of IPv6 has in an URL are taken away."""
TcpPort = Annotated[int, Field(ge=1, le=65535)]


class Rs485(Frozen):
    """How the driver switches an RS-485 transceiver between sending and receiving (Linux, TIOCSRS485)."""

    mode: Literal["auto", "on", "off"] = "auto"
    """`auto`: where the driver can; `on`: tell when it cannot; `off`: leave it to the adapter."""
    rts_while_sending: Literal["high", "low"] = "high"
    delay_before_send_ms: Annotated[int, Field(ge=0, le=100)] = 0
    delay_after_send_ms: Annotated[int, Field(ge=0, le=100)] = 0


class Port(Frozen):
    """A line that devices hang on. `tcp` is RTU framing through a serial server at `host:tcp_port`."""

    id: Slug
    kind: Literal["rs485", "rs232", "tcp"]
    path: Annotated[str, StringConstraints(pattern=r"^/", max_length=200)] | None = None
    host: Host | None = None
    tcp_port: TcpPort = 502
    baudrate: Baudrate = 9600
    format: Format = "8N1"
    rs485: Rs485 = Rs485()
    """For ports of kind rs485 only."""
    role: Literal["native", "external"] = "external"
    alias: Alias = ""

    @model_validator(mode="after")
    def _has_its_address(self) -> "Port":
        if self.kind == "tcp" and self.host is None:
            raise ValueError("a port of kind tcp needs a host")
        if self.kind != "tcp" and self.path is None:
            raise ValueError(f"a port of kind {self.kind} needs a path, such as /dev/ttyUSB0")
        return self


MOST_SECONDARIES = 8
"""Secondary devices behind one principal (`docs/ccm-modbus-map.md`)."""


class Secondary(Frozen):
    """A secondary device is read through its principal (manual section 5.5.2): the `index`th one behind `via`."""

    via: Slug
    index: Annotated[int, Field(ge=1, le=MOST_SECONDARIES)]


class Device(Frozen):
    """A meter or inverter: on a port, or at a host of its own (Modbus TCP)."""

    id: Slug
    port: Slug | None = None
    host: Host | None = None
    tcp_port: TcpPort = 502
    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_.-]*$")]
    unit: Annotated[int, Field(ge=0, le=255)]
    alias: Alias = ""
    poll_s: Annotated[Finite, Field(ge=0.1, le=86_400)] = 1.0
    """Interval of the fast points; slow points are read every tenth of these, at most each minute."""
    slow_s: Annotated[Finite, Field(ge=1, le=86_400)] | None = None
    """Interval of the slow points, where the above does not fit."""
    direction: Direction = "normal"
    """`reversed` for a meter that is mounted the other way round: powers change sign, energies swap."""
    gap_ms: Annotated[Finite, Field(ge=0, le=1000)] = 0
    """Silence that the device needs before a request, where 3.5 characters are not enough."""
    max_in_flight: Annotated[int, Field(ge=1, le=16)] = 1
    """Requests that its host may have in work at once (Modbus TCP); of the devices of a host the smallest counts."""
    enabled: bool = True
    serial: Annotated[str, StringConstraints(max_length=40)] | None = None
    """Serial number, where synchronisation found the device: it keeps its unit when it is assigned again."""
    secondary: Secondary | None = None
    """Read through a principal, at whose port and unit it is."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Device":
        if (self.port is None) == (self.host is None):
            raise ValueError("a device needs either a port or a host")
        if self.slow_s is not None and self.slow_s < self.poll_s:
            raise ValueError("slow_s is shorter than poll_s")
        return self

    @property
    def line(self) -> str:
        """The line it shares: its port, or its host's connection (one per host, whatever the units)."""
        if self.port is not None:
            return self.port
        host = "".join(c if c.isalnum() else "-" for c in (self.host or "").lower())
        return f"tcp-{host}-{self.tcp_port}"


class Plant(Frozen):
    """A self-consumption plant (manual section 6.2.1.5): who produces, who measures the grid, who stores."""

    id: Slug
    alias: Alias = ""
    production: Annotated[list[Slug], Field(min_length=1, max_length=100)]
    grid: Annotated[list[Slug], Field(min_length=1, max_length=100)]
    battery: Annotated[list[Slug], Field(max_length=100)] = []

    @field_validator("production", "grid", "battery")
    @classmethod
    def _once_each(cls, devices: list[str]) -> list[str]:
        if len(set(devices)) != len(devices):
            raise ValueError("names a device twice")
        return devices
