"""The whole configuration as one document: sections, their schemas, and what must hold between them.

Does not read files and does not know the catalogue; `ccmaster config check` adds both.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from ccm_contracts.config.field import Device, Plant, Port, Secondary
from ccm_contracts.config.modbus import ModbusServer
from ccm_contracts.config.services import Ftp, Historic, Mqtt
from ccm_contracts.config.site import Gateway, Network, Outputs, Security, Timezone
from ccm_contracts.types import Frozen

Loc = tuple[str | int, ...]

NATIVE_CABLE_LIMIT = 32
"""Principal devices on the native cable (manual section 5.5)."""
NATIVE_WIFI_LIMIT = 10
"""Native devices by WiFi: at a host of their own, or on a native port of kind tcp (manual section 5.5)."""

SUNSPEC = "sunspec"
"""The brand of what is found by SunSpec discovery, whoever made it."""


class Document(Frozen):
    """Every section; each has defaults, so that an empty document is a valid one."""

    gateway: Gateway = Gateway()
    ports: list[Port] = []
    devices: list[Device] = []
    plants: list[Plant] = []
    outputs: Outputs = Outputs()
    network: Network = Network()
    mqtt: Mqtt = Mqtt()
    ftp: Ftp = Ftp()
    historic: Historic = Historic()
    modbus_server: ModbusServer = ModbusServer()
    timezone: Timezone = "UTC"
    security: Security = Security()


SECTIONS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(field.rebuild_annotation()) for name, field in Document.model_fields.items()
}
"""The schema of each section, by name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: `loc` is the path of keys and indexes from the document's root."""

    loc: Loc
    message: str

    @property
    def field(self) -> str:
        """The path as people write it: `devices[2].unit`."""
        text = ""
        for part in self.loc:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


def problems_of(document: Document) -> list[Problem]:
    """Everything that does not hold between sections; an empty list for a sound document."""
    return [
        *_twice("ports", [port.id for port in document.ports]),
        *_twice("devices", [device.id for device in document.devices]),
        *_twice("plants", [plant.id for plant in document.plants]),
        *_ports(document),
        *_devices(document),
        *_hosts(document),
        *_plants(document),
        *_modbus_server(document),
    ]


def _twice(section: str, ids: list[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in enumerate(ids):
        if each in seen:
            yield Problem((section, index, "id"), f"the id {each} is used twice")
        seen.add(each)


def _ports(document: Document) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for index, port in enumerate(document.ports):
        where = port.path or f"{port.host}:{port.tcp_port}"
        if where in owners:
            field = "path" if port.path else "host"
            yield Problem(("ports", index, field), f"{where} is already used by port {owners[where]}")
        owners.setdefault(where, port.id)


def _devices(document: Document) -> Iterator[Problem]:
    ports = {port.id: port for port in document.ports}
    used: dict[tuple[str, int, int], list[Device]] = {}
    native = 0
    for index, device in enumerate(document.devices):
        at = ("devices", index)
        port = ports.get(device.port) if device.port else None
        if device.port and port is None:
            yield Problem((*at, "port"), f"there is no port {device.port}")
        if device.port and not 1 <= device.unit <= 247:
            yield Problem((*at, "unit"), f"unit {device.unit} cannot be on a serial line: 1 to 247")
        behind = device.secondary
        others = used.setdefault((device.line, device.unit, behind.index if behind else 0), [])
        is_native = port is not None and port.role == "native"
        other = next((each for each in others if is_native or not may_share_unit(each, device)), None)
        if other is not None:
            which = f"secondary {behind.index} of unit" if behind else "unit"
            text = f"{which} {device.unit} is already used on {device.line} by {other.id}"
            yield Problem((*at, "unit"), text)
        others.append(device)
        if behind is not None:
            yield from _secondary(document, at, device, behind)
        elif port is not None and port.role == "native":
            native += port.kind != "tcp"
            if native == NATIVE_CABLE_LIMIT + 1 and port.kind != "tcp":
                yield Problem((*at, "port"), f"a native line carries at most {NATIVE_CABLE_LIMIT} devices")
    yield from beyond_wifi(document, ())


def may_share_unit(one: Device, other: Device) -> bool:
    """Whether both can be parts of what answers there: an inverter, and the meter or battery that it speaks for.

    They are of one brand and of different models; SunSpec models go with any brand.
    """
    if one.model == other.model or one.secondary is not None or other.secondary is not None:
        return False
    brands = {each.model.partition("/")[0] for each in (one, other)}
    return len(brands) == 1 or SUNSPEC in brands


def meters_alone(document: Document, meters: Collection[str]) -> Iterator[Problem]:
    """Units with several meters and nothing that could speak for them; `meters`: models that are meters."""
    at: dict[tuple[str, int], list[tuple[int, Device]]] = {}
    for index, device in enumerate(document.devices):
        if device.secondary is None:
            at.setdefault((device.line, device.unit), []).append((index, device))
    for (line, unit), there in at.items():
        models = {device.model for _, device in there}
        if len(models) > 1 and models <= set(meters):
            text = f"unit {unit} is already used on {line} by {there[0][1].id}, which is a meter too"
            yield Problem(("devices", there[1][0], "unit"), text)


def _hosts(document: Document) -> Iterator[Problem]:
    """A line's id is made of its host's name, whose punctuation it does not keep."""
    owners = {port.id: f"port {port.id}" for port in document.ports}
    for index, device in enumerate(document.devices):
        if device.host is None:
            continue
        where = f"{device.host.lower()}:{device.tcp_port}"
        owner = owners.setdefault(device.line, where)
        if owner != where:
            text = f"{device.host} cannot be told from {owner} by its line, {device.line}: name one otherwise"
            yield Problem(("devices", index, "host"), text)


def beyond_wifi(document: Document, natives: Collection[str]) -> Iterator[Problem]:
    """The first native device beyond those that WiFi carries; `natives`: models that are native, wherever they are."""
    ports = {port.id for port in document.ports if port.kind == "tcp" and port.role == "native"}
    by_wifi = [
        index
        for index, device in enumerate(document.devices)
        if device.secondary is None
        and (device.port in ports or (device.port is None and device.model in natives))
    ]
    for index in by_wifi[NATIVE_WIFI_LIMIT : NATIVE_WIFI_LIMIT + 1]:
        where = "host" if document.devices[index].port is None else "port"
        yield Problem(
            ("devices", index, where), f"by WiFi at most {NATIVE_WIFI_LIMIT} native devices are read"
        )


def _secondary(document: Document, at: Loc, device: Device, behind: Secondary) -> Iterator[Problem]:
    principal = next((each for each in document.devices if each.id == behind.via), None)
    where = (*at, "secondary", "via")
    if principal is None:
        yield Problem(where, f"there is no device {behind.via}")
    elif principal.secondary is not None:
        yield Problem(where, f"{behind.via} is a secondary device itself")
    elif (principal.line, principal.unit) != (device.line, device.unit):
        yield Problem(
            where, f"port and unit must be those of {behind.via}: {principal.line}, {principal.unit}"
        )


def _modbus_server(document: Document) -> Iterator[Problem]:
    server = document.modbus_server
    lines = {port.id for port in document.ports} | {device.line for device in document.devices}
    devices = {device.id for device in document.devices}
    named: list[tuple[Loc, str]] = [
        (("modbus_server", "more", index, "line"), each.line) for index, each in enumerate(server.more)
    ]
    if server.line is not None:
        named.insert(0, (("modbus_server", "line"), server.line))
    taken: set[str] = set()
    for loc, line in named:
        if line not in lines:
            yield Problem(loc, f"there is no line {line}")
        elif line in taken:
            yield Problem(loc, f"{line} is already shared")
        taken.add(line)
    for index, name in enumerate(server.devices):
        if name not in devices:
            yield Problem(("modbus_server", "devices", index), f"there is no device {name}")


def _plants(document: Document) -> Iterator[Problem]:
    devices = {device.id for device in document.devices}
    for index, plant in enumerate(document.plants):
        roles = {"production": plant.production, "grid": plant.grid, "battery": plant.battery}
        taken: dict[str, str] = {}
        for role, members in roles.items():
            for position, member in enumerate(members):
                at = ("plants", index, role, position)
                if member not in devices:
                    yield Problem(at, f"there is no device {member}")
                elif role != "battery" and member in taken:
                    yield Problem(at, f"{member} is already in {taken[member]}")
                taken.setdefault(member, role)
        if plant.id in devices:
            yield Problem(("plants", index, "id"), f"{plant.id} is already the id of a device")
