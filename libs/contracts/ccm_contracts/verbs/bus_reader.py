"""What bus-reader can be asked."""

from typing import Annotated, Literal

from pydantic import Field

from ccm_contracts.config.field import Baudrate
from ccm_contracts.types import Finite, Frozen, Slug


class DeviceCommand(Frozen):
    """Write one named point of a device; `name` is a writable point of its profile."""

    device: Slug
    name: Slug
    value: Finite


class DeviceCommandDone(Frozen):
    """`value` is what the device holds now, read back."""

    device: Slug
    name: Slug
    value: float


class CatalogQuery(Frozen):
    """All models, or those of one brand, or one model with its points (`model`)."""

    brand: Slug | None = None
    model: Annotated[str, Field(max_length=100)] | None = None


class CatalogPoint(Frozen):
    """One readable value of a model."""

    metric: str
    unit: str
    poll: Literal["fast", "slow", "once"]
    resolution: float | None = None


class CatalogCommand(Frozen):
    """One writable value of a model."""

    name: str
    label: str
    unit: str = ""
    minimum: float
    maximum: float


class CatalogModel(Frozen):
    """One model as the installer chooses it: type, brand, class, series, model (manual section 6.2.1.4.3)."""

    id: str
    type: str
    brand: str
    device_class: str
    series: str
    model: str
    protocol: str
    source: str
    native: bool = False
    points: list[CatalogPoint] = []
    commands: list[CatalogCommand] = []


class CatalogList(Frozen):
    models: list[CatalogModel]


Format = Annotated[str, Field(pattern=r"^8[NEO][12]$")]
"""RTU needs eight data bits."""


class ScanRequest(Frozen):
    """Look for devices on `line`. Nothing named means: what is likely first, then (`full`) everything."""

    line: Slug
    depth: Literal["quick", "full"] = "quick"
    first_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    last_unit: Annotated[int, Field(ge=1, le=247)] | None = None
    baudrates: Annotated[list[Baudrate], Field(max_length=10)] = []
    formats: Annotated[list[Format], Field(max_length=6)] = []


class ScanCancel(Frozen):
    """End the search on `line`; what was found so far is kept."""

    line: Slug


class SetMode(Frozen):
    """Enter or leave synchronisation mode; `toggle` is what the button does."""

    mode: Literal["reading", "synchronisation", "toggle"]
