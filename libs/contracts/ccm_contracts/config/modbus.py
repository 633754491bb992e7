"""Section of the Modbus server: the gateway's own registers, and its lines for other masters."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from ccm_contracts.config.field import TcpPort
from ccm_contracts.types import Finite, Frozen, Slug


def _a_network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError as err:
        raise ValueError(f"{text!r} is not an address or a network such as 192.0.2.0/24") from err


class SharedLine(Frozen):
    """A further line for other masters, on a TCP port of its own: two lines may have the same units."""

    line: Slug
    port: TcpPort


class ModbusServer(Frozen):
    """Modbus TCP at `port`: units 0 and 255 are the gateway's own registers, units 1 to 247 those of `line`."""

    enabled: bool = False
    port: TcpPort = 1502
    """Above 1024, so that no service needs a privilege."""
    line: Slug | None = None
    """A port's id, or the line of a host (`GET /api/v1/ports`). None: no unit is passed through."""
    more: Annotated[list[SharedLine], Field(max_length=10)] = []
    writes: bool = False
    """Whether other masters may write, to devices and to the gateway's outputs."""
    max_age_s: Annotated[Finite, Field(ge=1, le=3600)] = 10
    """Registers that are polled anyhow are answered from values not older than this, or than 2.5 of their intervals."""
    clients: Annotated[int, Field(ge=1, le=100)] = 20
    requests_per_s: Annotated[int, Field(ge=1, le=1000)] = 100
    """Of one client; beyond it is answered "busy"."""
    allow: Annotated[list[Annotated[str, AfterValidator(_a_network)]], Field(max_length=20)] = []
    """Addresses or networks that may connect; none named: all."""
    devices: Annotated[list[Slug], Field(max_length=247)] = []
    """The devices in the order of their register blocks; those not named follow as in `devices`."""

    @model_validator(mode="after")
    def _ports_differ(self) -> "ModbusServer":
        ports = [self.port, *(shared.port for shared in self.more)]
        if len(set(ports)) != len(ports):
            raise ValueError("each port can serve one line only")
        return self
