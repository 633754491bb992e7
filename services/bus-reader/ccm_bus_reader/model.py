"""What a profile is: one model's identity, points, commands, timing and limits. Pure data."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from ccm_bus_reader.native import Assignment, Secondaries
from ccm_bus_reader.point import (
    MAX_BLOCK,
    REGISTERS_OF,
    Address,
    Order,
    Point,
    Poll,
    Scale,
    Strict,
    Type,
    WritePoint,
)

Protocol = Literal["modbus-rtu", "modbus-tcp"]
DeviceType = Literal["meter", "inverter", "battery", "gateway"]

MODEL_ID = r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_.-]*$"
"""`brand/model`."""


class Serial(Strict):
    """The line's parameters as the device leaves the factory."""

    baudrate: Annotated[int, Field(ge=300, le=921600)] = 9600
    format: Annotated[str, StringConstraints(pattern=r"^[78][NEO][12]$")] = "8N1"


class Timing(Strict):
    """What the line engine may expect of the device. Time-outs learn within their two bounds."""

    gap_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Silence that the device needs before a request, beyond 3.5 characters."""
    rest_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """How long the device is left alone after each exchange; others use the line meanwhile."""
    turnaround_ms: Annotated[float, Field(ge=0, le=5000)] = 10.0
    """Usual time from the request's last byte to the reply's first: for the plan's first estimate."""
    timeout_min_ms: Annotated[float, Field(ge=10, le=10_000)] = 100.0
    timeout_max_ms: Annotated[float, Field(ge=10, le=10_000)] = 1000.0

    @model_validator(mode="after")
    def _ordered(self) -> "Timing":
        if self.timeout_min_ms > self.timeout_max_ms:
            raise ValueError("timeout_min_ms is above timeout_max_ms")
        return self


class Limits(Strict):
    """What one read may hold."""

    max_block: Annotated[int, Field(ge=1, le=MAX_BLOCK)] = MAX_BLOCK
    """Registers of the longest read that the device answers."""
    unreadable: tuple[tuple[Address, Address], ...] = ()
    """First and last addresses of ranges that no read may touch."""
    barriers: tuple[Address, ...] = ()
    """Addresses at which a new read must start: no read holds one of them and the address before it."""

    @field_validator("unreadable")
    @classmethod
    def _forward(cls, ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if any(first > last for first, last in ranges):
            raise ValueError("a range starts after its end")
        return ranges


class SunSpec(Strict):
    """The device's points are found by its own chain of SunSpec models, each time that it connects."""

    role: Literal["inverter", "meter", "battery"]
    instance: Annotated[int, Field(ge=1, le=16)] = 1
    """Which one of several in the same chain: an inverter may carry its meters' models behind its own."""
    shows: Annotated[tuple[int, ...], Field(min_length=1)]
    """Models whose points stand in the catalogue; what the device has may be less or more."""


class Probe(Strict):
    """How the model is recognised: one read, and what its value must be."""

    function: Literal[3, 4] = 3
    address: Address
    type: Type = "u16"
    length: Annotated[int, Field(ge=1, le=MAX_BLOCK)] | None = None
    order: Order = "big"
    equals: tuple[int | str, ...] = ()
    starts: tuple[str, ...] = ()
    minimum: Scale | None = None
    maximum: Scale | None = None

    @property
    def registers(self) -> int:
        return self.length or REGISTERS_OF[self.type]


class Profile(Strict):
    """One model, ready to be read."""

    id: Annotated[str, StringConstraints(pattern=MODEL_ID)]
    type: DeviceType
    brand: str
    device_class: str
    series: str
    model: str
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1)]
    source: Annotated[str, StringConstraints(min_length=8)]
    native: bool = False
    serial: Serial = Serial()
    timing: Timing = Timing()
    limits: Limits = Limits()
    probe: Probe | None = None
    sunspec: SunSpec | None = None
    points: tuple[Point, ...] = ()
    commands: tuple[WritePoint, ...] = ()
    assignment: Assignment | None = None
    secondaries: Secondaries | None = None

    @property
    def protocol(self) -> str:
        """All protocols in one text: `modbus-rtu, modbus-tcp`."""
        return ", ".join(self.protocols)

    def points_of(self, *polls: Poll) -> tuple[Point, ...]:
        """The points of these poll classes, in the order of the profile."""
        return tuple(point for point in self.points if point.poll in polls)

    def command(self, name: str) -> WritePoint | None:
        return next((command for command in self.commands if command.name == name), None)
