"""The readable and the writable values of a model. Pure data: what a profile (`profile.py`) is made of."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from ccm_contracts.metrics import DERIVED, METRICS
from ccm_contracts.types import Slug

Type = Literal["bool", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "string"]
Order = Literal["big", "word-swapped", "byte-swapped", "little"]
Poll = Literal["fast", "slow", "once"]

REGISTERS_OF: dict[str, int] = {
    "bool": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "u64": 4, "s64": 4, "f32": 2, "f64": 4,
}  # fmt: skip
"""Registers (or coils) that a value of each type takes; a string says its own number."""

MAX_BLOCK = 125
"""Registers of the longest read that Modbus allows."""

Address = Annotated[int, Field(ge=0, le=65535)]
Texts = dict[int, Annotated[str, StringConstraints(strict=True, min_length=1, max_length=60)]]
Scale = Annotated[Decimal, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """Immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(Strict):
    """One readable value. Engineering value = raw * `scale` (* 10 ** scale register) + `offset`, in the
    vocabulary's unit of `metric` and with its sign convention."""

    metric: str
    function: Literal[1, 2, 3, 4]
    """1 coils, 2 discrete inputs, 3 holding registers, 4 input registers."""
    address: Address
    """As on the wire, counted from 0."""
    type: Type
    length: Annotated[int, Field(ge=1, le=MAX_BLOCK)] | None = None
    """Registers of a string; other types know theirs."""
    order: Order = "big"
    """`big` ABCD, `word-swapped` CDAB, `byte-swapped` BADC, `little` DCBA."""
    high: Address | None = None
    """The high word of a u32 or s32 whose low word, at `address`, is not beside it. Always read in the same block."""
    mask: Annotated[int, Field(gt=0, lt=1 << 64)] | None = None
    """The bits of a whole number that count, moved down to bit 0; of what remains none is a sign."""
    wide: bool = False
    """A string with one character in each register, in its low byte."""
    scale: Scale = Decimal(1)
    scale_register: Address | None = None
    """A SunSpec scale factor (s16) of the same function; always read in the same block."""
    less: Address | None = None
    """A second value of the same function, type and order, subtracted from this one: meters that show import and
    export apart. Always read in the same block."""
    plus: Annotated[tuple[Address, ...], Field(max_length=12)] = ()
    """Further values of the same function, type and order that are added: phases or inputs whose sum the device does
    not give. For a text of `bits` further words, whose bits are numbered on. Always read in the same block."""
    offset: Scale = Decimal(0)
    absolute: bool = False
    """The device shows the quantity with either sign: only its size counts."""
    sign_register: Address | None = None
    """A u16 of the same function that tells the sign, the value giving its size: negative where it holds `negative`.
    Always read in the same block."""
    negative: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    unit: str | None = None
    """For the reader of the file: must be the vocabulary's unit, which `scale` leads to."""
    poll: Poll = "fast"
    invalid: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Raw bit patterns that mean "not available". NaN and infinity always do."""
    values: Texts = {}
    """Text of each raw number, for a text metric."""
    bits: Texts = {}
    """Text of each bit, 0 the lowest, for a text metric; the texts of the set bits are joined."""
    text: Literal["decimal", "hex", "dotted"] = "decimal"
    """How a number without `values` is written in a text metric; `dotted` is high byte, dot, low byte."""
    resolution: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None = None
    """Step to which values are rounded; by default that of the scale, and for floats that of the unit."""
    step: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None = None
    """A gauge that changes by more between two rounds is read again before it is believed; for a counter, the most that
    it counts in an hour. By default one by unit."""
    rollover: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None = None
    """A counter begins again at 0 when it reaches this (metric's unit); by default where an unsigned type ends."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"{metric!r} is not a metric of the vocabulary (ccm_contracts/metrics.py)")
        if metric in DERIVED:
            raise ValueError(f"{metric!r} is derived by the gateway; no device gives it")
        return metric

    @model_validator(mode="after")
    def _possible(self) -> "Point":
        problem = _problem_of(self)
        if problem:
            raise ValueError(f"{self.metric}: {problem}")
        return self

    def __hash__(self) -> int:
        return hash((self.metric, self.function, self.address, self.type))

    @property
    def registers(self) -> int:
        """Registers, or coils, that the value takes."""
        return self.length or REGISTERS_OF[self.type]

    @property
    def end(self) -> int:
        """The first address after the value, or after its low word where the high one lies elsewhere."""
        return self.address + (self.registers if self.high is None else 1)

    @property
    def span(self) -> tuple[int, int]:
        """First address and the one after the last, with what is read along: what one block must hold."""
        start, end = self.address, self.end
        if self.scale_register is not None:
            start, end = min(start, self.scale_register), max(end, self.scale_register + 1)
        if self.sign_register is not None:
            start, end = min(start, self.sign_register), max(end, self.sign_register + 1)
        if self.high is not None:
            start, end = min(start, self.high), max(end, self.high + 1)
        for other in (*self.plus, *(() if self.less is None else (self.less,))):
            start, end = min(start, other), max(end, other + self.registers)
        return start, end


def _problem_of(point: Point) -> str | None:
    is_text = METRICS[point.metric].kind == "text"
    checks = (
        (point.type == "string" and point.length is None, "a string needs its length in registers"),
        (point.type != "string" and point.length is not None, "only a string has a length"),
        ((point.type == "bool") != (point.function in (1, 2)), "bool goes with functions 1 and 2 only"),
        (point.type == "string" and not is_text, "a string cannot be a number"),
        (is_text and point.type in ("f32", "f64"), "a text cannot come from a float"),
        (bool(point.values or point.bits) and not is_text, "values and bits are for text metrics"),
        (bool(point.values and point.bits), "has values and bits: give one of them"),
        (is_text and (point.scale != 1 or point.offset != 0), "a text has no scale"),
        (point.scale == 0, "scale is 0"),
        (point.step is not None and is_text, "a text has no step"),
        (
            point.rollover is not None and METRICS[point.metric].kind != "counter",
            "rollover is for counters",
        ),
        (point.scale_register is not None and point.function not in (3, 4), "coils have no scale register"),
        (point.less is not None and is_text, "a text has nothing to subtract"),
        (bool(point.plus) and is_text and not point.bits, "only a text of bits goes on elsewhere"),
        (point.high is not None and point.type not in ("u32", "s32"), "high is for u32 and s32"),
        (
            point.high is not None and bool(point.plus or point.less is not None),
            "high goes with one value only",
        ),
        (
            point.mask is not None and point.type in ("bool", "string", "f32", "f64"),
            "a mask is for whole numbers",
        ),
        (
            point.mask is not None and point.mask >> 16 * point.registers > 0,
            "the mask is wider than the value",
        ),
        (point.wide and point.type != "string", "only a string is wide"),
        (is_text and (point.absolute or point.sign_register is not None), "a text has no sign"),
        (point.sign_register is not None and point.function not in (3, 4), "coils have no sign register"),
        (point.span[1] > 65536, "reaches beyond address 65535"),
        (point.span[1] - point.span[0] > MAX_BLOCK, "is further than 125 registers from what is read along"),
        (
            point.unit is not None and point.unit != METRICS[point.metric].unit,
            f"unit {point.unit!r} is not the vocabulary's {METRICS[point.metric].unit!r}: scale to that",
        ),
    )
    return next((text for failed, text in checks if failed), None)


class WritePoint(Strict):
    """One writable value, in engineering units; read back from the same address after the write."""

    name: Slug
    label: str
    function: Literal[5, 6, 15, 16]
    address: Address
    type: Literal["bool", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"] = "u16"
    order: Order = "big"
    scale: Scale = Decimal(1)
    minimum: Scale
    maximum: Scale
    unit: str = ""
    enable: Address | None = None
    """A register that is set to 1 after the value, and so puts it into effect (SunSpec's `..._Ena`)."""

    broadcast: bool = False
    """Whether it may be written to all units of a line at once (unit 0), which nobody acknowledges."""

    @model_validator(mode="after")
    def _possible(self) -> "WritePoint":
        if self.minimum > self.maximum:
            raise ValueError(f"{self.name}: minimum is above maximum")
        is_coil = self.function in (5, 15)
        if is_coil != (self.type == "bool"):
            raise ValueError(f"{self.name}: bool goes with functions 5 and 15 only")
        if self.function == 6 and REGISTERS_OF[self.type] != 1:
            raise ValueError(f"{self.name}: function 6 writes one register; use 16")
        if self.enable is not None and is_coil:
            raise ValueError(f"{self.name}: a coil has no enable")
        if self.scale == 0:
            raise ValueError(f"{self.name}: scale is 0")
        return self

    @property
    def registers(self) -> int:
        return REGISTERS_OF[self.type]

    @property
    def read_function(self) -> Literal[1, 3]:
        """The function that reads back what was written."""
        return 1 if self.type == "bool" else 3


FLOAT_RESOLUTION: dict[str, Decimal] = {
    "V": Decimal("0.001"),
    "A": Decimal("0.0001"),
    "W": Decimal("0.01"),
    "var": Decimal("0.01"),
    "VA": Decimal("0.01"),
    "Hz": Decimal("0.001"),
    "kWh": Decimal("0.001"),
    "kvarh": Decimal("0.001"),
    "kVAh": Decimal("0.001"),
    "%": Decimal("0.01"),
    "°C": Decimal("0.01"),
    "": Decimal("0.0001"),
}
"""Step to which a float is rounded when its point names none, by unit."""


def resolution_of(point: Point) -> Decimal | None:
    """The step of the point's values; None where the scale factor of the device decides, and for texts."""
    metric = METRICS[point.metric]
    if metric.kind == "text":
        return None
    if point.resolution is not None:
        return point.resolution
    if point.type in ("f32", "f64"):
        return FLOAT_RESOLUTION[metric.unit]
    return None if point.scale_register is not None else abs(point.scale)
