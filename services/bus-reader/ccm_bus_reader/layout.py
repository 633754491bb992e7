"""From the configuration to lines: which endpoints there are, which devices hang on each, and what cannot be read.

Pure. One device's fault does not concern the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ccm_bus_reader.device import Device
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.profile import Profile
from ccm_bus_reader.secondary import behind
from ccm_bus_reader.transport import Endpoint, SerialPort, TcpHost, char_s
from ccm_contracts.config.document import NATIVE_WIFI_LIMIT, Document, may_share_unit
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.config.field import Port
from ccm_kit.errors import BadInputError

Places = dict[tuple[str, int, int], list[DeviceConfig]]
"""Who is at a line, a unit, and a place behind it (0: the principal itself)."""


class Models(Protocol):
    """What is needed of a catalogue."""

    def find(self, model_id: str) -> Profile:
        """Raises `BadInputError` for an unknown model."""


@dataclass(frozen=True, slots=True)
class Member:
    """A device of a line, as far as reading it is concerned."""

    config: DeviceConfig
    profile: Profile


@dataclass(frozen=True, slots=True)
class LineLayout:
    """One line; two layouts with the same endpoint and framing need no reopening."""

    id: str
    endpoint: Endpoint
    is_modbus_tcp: bool
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A device that cannot be read; `field` is its place in the document."""

    config: DeviceConfig
    field: str
    text: str


def layout_of(document: Document, models: Models) -> tuple[dict[str, LineLayout], list[Trouble]]:
    """The lines by id, also those without devices, and what is wrong with the rest."""
    ports = {port.id: port for port in document.ports}
    members: dict[str, list[Member]] = {port: [] for port in ports}
    troubles: list[Trouble] = []
    places: Places = {}
    configs = {config.id: config for config in document.devices}
    by_wifi = 0
    for index, config in enumerate(document.devices):
        if not config.enabled:
            continue
        found = _member(config, f"devices[{index}]", ports, configs, models, places)
        if isinstance(found, Member) and _is_by_wifi(found, ports):
            by_wifi += 1
            if by_wifi > NATIVE_WIFI_LIMIT:
                text = f"by WiFi at most {NATIVE_WIFI_LIMIT} native devices are read"
                found = Trouble(config, f"devices[{index}].{'host' if config.port is None else 'port'}", text)
        if isinstance(found, Trouble):
            troubles.append(found)
        else:
            places.setdefault(_place(config), []).append(config)
            members.setdefault(config.line, []).append(found)
    lines = {line: _line(line, each, ports) for line, each in members.items()}
    return lines, troubles


def _member(
    config: DeviceConfig,
    at: str,
    ports: Mapping[str, Port],
    configs: Mapping[str, DeviceConfig],
    models: Models,
    places: Places,
) -> Member | Trouble:
    if config.port is not None and config.port not in ports:
        return Trouble(config, f"{at}.port", f"there is no port {config.port}")
    there = places.get(_place(config), [])
    other = next((each for each in there if not may_share_unit(each, config)), None)
    if other is not None:
        text = f"unit {config.unit} on line {config.line} is {other.id} already"
        return Trouble(config, f"{at}.unit", text)
    try:
        profile = _profile_of(config, configs, models)
        # Alias and noted serial number are for people: a change of them is no reason to begin anew.
        member = Member(config.model_copy(update={"alias": "", "serial": None}), profile)
        Device(member.config, profile, WireCost.serial(9600)).check()
    except BadInputError as err:
        return Trouble(config, f"{at}.model", err.message)
    except ValueError as err:
        return Trouble(config, f"{at}.model", f"{config.model} cannot be read: {err}")
    return member


def _is_by_wifi(member: Member, ports: Mapping[str, Port]) -> bool:
    """Whether it is a native principal at a host of its own, or on a native port of kind tcp."""
    if member.config.secondary is not None:
        return False
    if member.config.port is None:
        return member.profile.native
    port = ports[member.config.port]
    return port.kind == "tcp" and port.role == "native"


def _place(config: DeviceConfig) -> tuple[str, int, int]:
    return config.line, config.unit, config.secondary.index if config.secondary else 0


def _profile_of(config: DeviceConfig, configs: Mapping[str, DeviceConfig], models: Models) -> Profile:
    """Its own profile; that of a secondary device as its principal shows it. Raises `BadInputError`."""
    profile = models.find(config.model)
    if config.secondary is None:
        return profile
    principal = configs.get(config.secondary.via)
    if principal is None or (principal.line, principal.unit) != (config.line, config.unit):
        raise BadInputError(f"is not at the port and unit of {config.secondary.via}", field="secondary.via")
    return behind(profile, models.find(principal.model), config.secondary.index)


def _line(line: str, members: Iterable[Member], ports: Mapping[str, Port]) -> LineLayout:
    members = tuple(members)
    port = ports.get(line)
    if port is None:
        host = members[0].config.host or ""
        return LineLayout(line, TcpHost(host, members[0].config.tcp_port), True, members)
    return LineLayout(line, endpoint_of(port), False, members)


def endpoint_of(port: Port) -> Endpoint:
    """A port's serial path, or its serial server; RTU frames in both cases."""
    if port.kind == "tcp":
        return TcpHost(port.host or "", port.tcp_port, char_s(port.baudrate, port.format))
    rs485 = port.rs485 if port.kind == "rs485" else None
    return SerialPort(port.path or "", port.baudrate, port.format, rs485)
