"""Sections of the gateway itself: identity, outputs, network, time zone, sign-in."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from ccm_contracts.config.field import Alias
from ccm_contracts.types import Finite, Frozen, Secret, Serial

Model = Literal["lite", "lite-plus", "lite-nbiot", "pro"]
Feature = Literal["ethernet", "modem", "relays", "analog"]

FEATURES: dict[Model, frozenset[Feature]] = {
    "lite": frozenset(),
    "lite-plus": frozenset({"ethernet", "relays"}),
    "lite-nbiot": frozenset({"modem", "relays"}),
    "pro": frozenset({"ethernet", "modem", "relays", "analog"}),
}
"""What each model has (manual section 4)."""


class Gateway(Frozen):
    """Who this gateway is."""

    serial: Serial = "CCM000000"
    model: Model = "pro"
    alias: Alias = ""

    @property
    def features(self) -> frozenset[Feature]:
        return FEATURES[self.model]


class Output(Frozen):
    """How one output behaves when nobody commands it."""

    alias: Alias = ""
    safe: Annotated[Finite, Field(ge=0, le=10)] = 0.0
    """State at start, when a hold time ends and when the controller is lost: 0 or 1, or volts."""
    hold_s: Annotated[Finite, Field(gt=0, le=86_400)] | None = None
    """Hold time of commands that name none; without it they last until the next command."""


class Outputs(Frozen):
    relay_1: Output = Field(default=Output(), alias="relay-1")
    relay_2: Output = Field(default=Output(), alias="relay-2")
    analog_1: Output = Field(default=Output(), alias="analog-1")

    @field_validator("relay_1", "relay_2")
    @classmethod
    def _is_open_or_closed(cls, relay: Output) -> Output:
        if relay.safe not in (0, 1):
            raise ValueError(f"a relay's safe state is 0 or 1, not {relay.safe:g}")
        return relay

    def of(self, output: str) -> Output:
        return {"relay-1": self.relay_1, "relay-2": self.relay_2, "analog-1": self.analog_1}[output]


class Address(Frozen):
    """How an interface gets its address."""

    enabled: bool = False
    upload_data: bool = False
    dhcp: bool = True
    address: str | None = None
    gateway: str | None = None
    netmask: str | None = None


class AccessPoint(Frozen):
    enabled: bool = True
    password: Secret = Secret("")


class Wifi(Address):
    ssid: Annotated[str, StringConstraints(max_length=32)] = ""
    password: Secret = Secret("")


class Modem(Frozen):
    enabled: bool = False
    upload_data: bool = False
    apn: str = ""
    user: str = ""
    password: Secret = Secret("")
    technology: Literal["auto", "nb-iot", "cat-m1", "2g"] = "auto"


class Network(Frozen):
    """Interfaces of manual section 6.2.1.2."""

    access_point: AccessPoint = AccessPoint()
    wifi: Wifi = Wifi()
    ethernet: Address = Address()
    modem: Modem = Modem()


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Madrid") from err
    return name


Timezone = Annotated[str, AfterValidator(_known_zone)]

Role = Literal["viewer", "operator", "admin"]


class User(Frozen):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-]{1,60}$")]
    role: Role = "viewer"
    password_hash: Secret = Secret("")
    """Argon2id."""
    must_change: bool = False


class Security(Frozen):
    """Who may sign in. Nobody listed: only the manual's admin/admin, once, to set a new password."""

    users: Annotated[list[User], Field(max_length=100)] = []
