"""What a native family says of itself beyond its registers: how it takes a unit, and what is behind it. Pure data."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ccm_bus_reader.point import MAX_BLOCK, REGISTERS_OF, Address, Order, Strict, Type
from ccm_contracts.config.field import MOST_SECONDARIES

Unit = Annotated[int, Field(ge=1, le=247)]


class Cell(Strict):
    """One value to be read: where, and of which type."""

    function: Literal[3, 4] = 3
    address: Address
    type: Type = "u16"
    length: Annotated[int, Field(ge=1, le=MAX_BLOCK)] | None = None
    order: Order = "big"

    @property
    def registers(self) -> int:
        return self.length or REGISTERS_OF[self.type]


class Grant(Strict):
    """The write that gives a unit: the registers of `values` from `address` on, at the assignment unit."""

    function: Literal[6, 16] = 16
    address: Address
    values: Annotated[tuple[Literal["serial", "unit"], ...], Field(min_length=1, max_length=2)]
    """With `serial` (the registers of the serial number as read) only the device that was asked takes the unit."""

    @model_validator(mode="after")
    def _gives_a_unit(self) -> "Grant":
        if "unit" not in self.values:
            raise ValueError("a grant must hold the unit")
        if self.function == 6 and self.values != ("unit",):
            raise ValueError("function 6 writes the unit alone; use 16")
        return self


class Assignment(Strict):
    """How a device takes its unit in synchronisation mode (manual section 6.3.2)."""

    unit: Unit = 247
    """Where a device listens while it waits for a unit, and only there."""
    serial: Cell
    grant: Grant
    confirm: Cell
    """At its new unit it must hold the unit; the serial number is read there again too."""
    first: Unit = 1
    last: Unit = 246
    most: Annotated[int, Field(ge=1, le=247)] = 32
    """Principal devices on one cable (manual section 5.5.2)."""
    timeout_ms: Annotated[float, Field(ge=10, le=2000)] = 200.0
    settle_ms: Annotated[float, Field(ge=0, le=2000)] = 100.0
    """From the reply to the grant until the device answers at its new unit."""

    @model_validator(mode="after")
    def _has_units(self) -> "Assignment":
        if self.first > self.last:
            raise ValueError("first is above last")
        if self.first <= self.unit <= self.last:
            raise ValueError("the assignment unit lies among the units to be given")
        return self


class Secondaries(Strict):
    """Secondary devices in the registers of their principal (manual section 5.5.2).

    Register `a` of the `k`th one is register `base + (k - 1) * stride + a` of the principal.
    """

    base: Address
    stride: Annotated[int, Field(ge=1, le=10_000)]
    most: Annotated[int, Field(ge=1, le=MOST_SECONDARIES)] = MOST_SECONDARIES

    @model_validator(mode="after")
    def _fit(self) -> "Secondaries":
        if self.base + self.most * self.stride > 65536:
            raise ValueError("the last window reaches beyond address 65535")
        return self

    def offset(self, index: int) -> int:
        """Address of the first register of the `index`th one, counted from 1."""
        return self.base + (index - 1) * self.stride
