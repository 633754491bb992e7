"""The shape of a family file, `catalog/<brand>/<family>.yaml`, and its JSON Schema. Pure data."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from ccm_bus_reader.model import DeviceType, Limits, Probe, Protocol, Serial, SunSpec, Timing
from ccm_bus_reader.native import Assignment, Secondaries
from ccm_bus_reader.point import REGISTERS_OF, Order, Point, Poll, Strict, Type, WritePoint
from ccm_contracts.metrics import DERIVED, METRICS

_ID_PART = r"^[a-z0-9][a-z0-9_.-]*$"

Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=400)]


class ModelEntry(Strict):
    """One model of a family: what it adds to, replaces in and drops from the family's points and commands."""

    id: Annotated[str, StringConstraints(pattern=_ID_PART)]
    model: Text
    """The name on the device's front, for people."""
    device_class: Annotated[Text | None, Field(alias="class")] = None
    series: Text | None = None
    source: Text | None = None
    protocol: tuple[Protocol, ...] | None = None
    serial: Serial | None = None
    timing: Timing | None = None
    limits: Limits | None = None
    probe: Probe | None = None
    sunspec: SunSpec | None = None
    points: tuple[Point, ...] = ()
    """A metric that the family has too is replaced."""
    drop: tuple[str, ...] = ()
    """Metrics of the family that the model lacks."""
    commands: tuple[WritePoint, ...] = ()
    drop_commands: tuple[str, ...] = ()


class FamilyFile(Strict):
    """A file `catalog/<brand>/<family>.yaml`, once its `defaults` and `invalid` are filled into its points."""

    brand: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    brand_name: Text
    type: DeviceType
    device_class: Annotated[Text, Field(alias="class")]
    series: Text
    source: Annotated[str, StringConstraints(strict=True, min_length=8, max_length=1000)]
    """The public document or code that the map was read from; mandatory."""
    native: bool = False
    protocol: Annotated[tuple[Protocol, ...], Field(min_length=1)] = ("modbus-rtu",)
    serial: Serial = Serial()
    timing: Timing = Timing()
    limits: Limits = Limits()
    probe: Probe | None = None
    sunspec: SunSpec | None = None
    points: tuple[Point, ...] = ()
    commands: tuple[WritePoint, ...] = ()
    assignment: Assignment | None = None
    secondaries: Secondaries | None = None
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]


class Defaults(Strict):
    """What each point of the file has unless it says otherwise."""

    function: Literal[1, 2, 3, 4] | None = None
    type: Type | None = None
    order: Order | None = None
    poll: Poll | None = None


def profile_schema() -> dict[str, Any]:
    """The JSON Schema of a family file as it is written, for editors and for `docs/profile.schema.json`."""
    schema = FamilyFile.model_json_schema()
    definitions = schema["$defs"]
    definitions["Point"]["required"] = ["metric", "address"]
    definitions["Point"]["properties"]["metric"]["enum"] = sorted(METRICS.keys() - DERIVED)
    definitions["Defaults"] = Defaults.model_json_schema()
    schema["properties"]["defaults"] = {"$ref": "#/$defs/Defaults"}
    schema["properties"]["invalid"] = {
        "description": 'Raw bit patterns that mean "not available", by type.',
        "type": "object",
        "propertyNames": {"enum": list(REGISTERS_OF)},
        "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    }
    schema["title"] = "CcMaster device profile"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
