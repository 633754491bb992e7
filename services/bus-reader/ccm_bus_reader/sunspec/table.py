"""What this product knows of SunSpec's models: the tables `models/*.yaml`, checked when they are first needed.

Offsets count registers from the model's own ID register, as the SunSpec documents do.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field

from ccm_bus_reader.point import Poll, Scale, Strict, Texts, Type

Role = Literal["inverter", "meter", "battery"]
SunSpecType = Literal[
    "int16",
    "uint16",
    "enum16",
    "int32",
    "uint32",
    "acc32",
    "bitfield32",
    "uint64",
    "acc64",
    "float32",
    "string",
]

OURS: Final[dict[str, tuple[Type, tuple[int, ...]]]] = {
    "int16": ("s16", (0x8000,)),
    "uint16": ("u16", (0xFFFF,)),
    "enum16": ("u16", (0xFFFF,)),
    "int32": ("s32", (0x80000000,)),
    "uint32": ("u32", (0xFFFFFFFF,)),
    "acc32": ("u32", (0,)),
    "bitfield32": ("u32", (0xFFFFFFFF,)),
    "uint64": ("u64", (0xFFFFFFFFFFFFFFFF,)),
    "acc64": ("u64", (0,)),
    "float32": ("f32", ()),
    "string": ("string", ()),
}
"""Our type of each of SunSpec's, and what it holds when it is not implemented (an accumulator: not accumulated).

SunSpec Device Information Model Specification V1.1, "Value types"; NaN is unknown by itself.
"""

Offset = Annotated[int, Field(ge=0, le=65535)]


class Row(Strict):
    """One value of a model."""

    metric: str
    name: str
    """SunSpec's name of the point."""
    offset: Offset
    type: SunSpecType
    length: int | None = None
    factor: Offset | None = None
    """Offset of its scale factor."""
    scale: Scale = Scale(1)
    poll: Poll = "fast"
    values: Texts = Field(default_factory=dict)
    bits: Texts = Field(default_factory=dict)
    only: tuple[int, ...] = ()
    """The models that have it, where not all of the table do."""


class CommandRow(Strict):
    """One setting of a model."""

    name: str
    label: str
    offset: Offset
    type: Literal["uint16", "int16"]
    factor: Offset | None = None
    enable: Offset | None = None
    """Offset of the switch that puts it into effect."""
    minimum: Scale
    maximum: Scale | None = None
    """None: as much as its register holds."""
    unit: str = ""


class Kind(Strict):
    """Where a module says what it is."""

    offset: Offset
    type: Literal["enum16", "string"]
    length: int = 1


class Repeat(Strict):
    """Modules of `size` registers, from the offset `start` to the model's end; their offsets count from their start."""

    start: Offset
    size: Annotated[int, Field(ge=1)]
    kind: Kind
    inputs: tuple[str, ...] = ()
    """Kinds that are DC inputs; empty: all that belong to no battery."""
    charge: str = ""
    discharge: str = ""
    """How the kinds of a battery's two modules begin."""
    battery: Row | None = None
    """What is charge less than discharge."""
    points: tuple[Row, ...]
    """Metrics without the number of the input."""


class Model(Strict):
    """One table, for models that differ in number of phases at most."""

    ids: tuple[int, ...]
    length: Offset
    """Usual number of registers behind ID and length; two modules where it has some. The device's own counts."""
    name: str
    roles: tuple[Role, ...]
    primary: tuple[Role, ...] = ()
    """The kinds of device that one of these models makes."""
    is_static: bool = False
    """Its scale factors never change, so they need not be read with each value."""
    points: tuple[Row, ...] = ()
    commands: tuple[CommandRow, ...] = ()
    repeat: Repeat | None = None


@lru_cache(maxsize=1)
def tables() -> tuple[Model, ...]:
    """All of them; where two have a metric, the first one's counts."""
    root = files("ccm_bus_reader") / "sunspec" / "models"
    return tuple(Model.model_validate(each) for name in _ORDER for each in _load(root / f"{name}.yaml"))


_ORDER: Final = ("common", "inverter", "meter", "der", "mppt", "battery", "controls")


def _load(file: Any) -> list[Any]:
    return list(yaml.safe_load(file.read_text("utf-8")))
