"""What a site consists of, and the YAML file that says so.

```yaml
seed: 1
day_minutes: 24
start_hour: 10
lines:
  ext:
    baudrate: 9600
    format: 8N1
    devices:
      house: {kind: sdm630, unit: 2, turnaround_ms: 5, faults: {drop: 0.01}}
      u: {kind: ccm4, unit: 10, count: 32}     # u-1 at unit 10, u-2 at unit 11, ...
      spare: {kind: ccm4, unit: 0}             # silent until its button is pressed
      cellar: {kind: ccm4, behind: u-1, index: 2}     # a secondary device, read through u-1
tcp:
  host: 127.0.0.1
  port: 0
  devices:
    farm: {kind: sun2000, unit: 1}
```
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccm_sim.devices import MAPS
from ccm_sim.faults import Faults
from ccm_sim.instrument import MEASURES, DeviceSpec
from ccm_sim.physics import DEFAULT_PLANT, Plant
from ccm_sim.wire import DEFAULT_PACE, Pace


class SpecError(ValueError):
    """A site-spec is wrong; the text begins with the path of the field."""


@dataclass(frozen=True, slots=True)
class LineSpec:
    """A serial line; its link is `tty-<name>`."""

    name: str
    devices: tuple[DeviceSpec, ...]
    pace: Pace = DEFAULT_PACE
    is_strict: bool = False
    """A request at another baud rate is not understood."""


@dataclass(frozen=True, slots=True)
class TcpSpec:
    """The Modbus TCP server; port 0 takes a free one."""

    devices: tuple[DeviceSpec, ...]
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """A site. `plant.seed` also seeds the faults."""

    lines: tuple[LineSpec, ...] = ()
    tcp: TcpSpec | None = None
    plant: Plant = DEFAULT_PLANT

    def __post_init__(self) -> None:
        ids = [device.id for device in self.devices]
        for id_ in ids:
            if ids.count(id_) > 1:
                raise SpecError(f"{id_}: this device id is given twice")
        for device in self.devices:
            if device.behind is not None and device.behind not in ids:
                raise SpecError(f"{device.id}.behind: there is no device {device.behind!r}")

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """All devices, lines first."""
        on_lines = tuple(device for line in self.lines for device in line.devices)
        return on_lines + (self.tcp.devices if self.tcp else ())


def demo_spec(*, tcp_port: int = 0, plant: Plant = DEFAULT_PLANT) -> SiteSpec:
    """The demo's site: a CcM4 on the native bus, a GoodWe and an SDM630 on the external bus, a Huawei on TCP.

    Two CcMs wait on the native bus for their first unit; `cellar` hangs behind the CcM4.
    """
    return SiteSpec(
        lines=(
            LineSpec(
                "native",
                (
                    DeviceSpec("grid", "ccm4", 1, number=0),
                    DeviceSpec("spare-1", "ccm4", 0, measures="load", number=4),
                    DeviceSpec("spare-2", "ccm4", 0, measures="roof", number=5),
                    DeviceSpec("cellar", "ccm4", 0, measures="load", number=6, behind="grid"),
                ),
            ),
            LineSpec(
                "ext",
                (
                    DeviceSpec("roof", "goodwe-dns", 100, turnaround_s=0.010, number=1),
                    DeviceSpec("house", "sdm630", 2, turnaround_s=0.010, number=2),
                ),
            ),
        ),
        tcp=TcpSpec((DeviceSpec("farm", "sun2000", 1, turnaround_s=0.020, number=3),), port=tcp_port),
        plant=plant,
    )


def load_spec(path: Path) -> SiteSpec:
    """The site of a YAML file; SpecError names the file and the field."""
    import yaml  # only here: a site without a file does not pay for it

    try:
        return parse_spec(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, SpecError) as exc:
        raise SpecError(f"{path}: {exc}") from exc


def parse_spec(document: object) -> SiteSpec:
    """The site of a document; SpecError names the field."""
    top = _mapping(
        document, "site-spec", {"seed", "day_minutes", "start_hour", "roof_w", "farm_w", "lines", "tcp"}
    )
    plant = _plant(top)
    numbers = iter(range(10_000))
    lines = []
    for name, value in _mapping(top.get("lines", {}), "lines", None).items():
        path = f"lines.{name}"
        line = _mapping(value, path, {"baudrate", "format", "strict", "devices"})
        is_strict = line.get("strict", False) is True
        lines.append(LineSpec(name, _devices(line, path, numbers), _pace(line, path), is_strict))
    tcp = None
    if top.get("tcp") is not None:
        server = _mapping(top["tcp"], "tcp", {"host", "port", "devices"})
        port = _number(server, "tcp", "port", 0, low=0, high=65535)
        tcp = TcpSpec(_devices(server, "tcp", numbers), str(server.get("host", "127.0.0.1")), int(port))
    return SiteSpec(tuple(lines), tcp, plant)


def _plant(top: Mapping[str, Any]) -> Plant:
    default = DEFAULT_PLANT
    return Plant(
        roof_w=int(_number(top, "", "roof_w", default.roof_w, low=0)),
        farm_w=int(_number(top, "", "farm_w", default.farm_w, low=0)),
        day_minutes=_number(top, "", "day_minutes", default.day_minutes, low=0.01),
        start_hour=_number(top, "", "start_hour", default.start_hour, low=0, high=24),
        seed=int(_number(top, "", "seed", default.seed, low=0)),
    )


def _pace(line: Mapping[str, Any], path: str) -> Pace:
    baudrate = int(_number(line, path, "baudrate", 9600, low=50))
    try:
        return Pace(baudrate, str(line.get("format", "8N1")))
    except ValueError as exc:
        raise SpecError(f"{path}.{exc}") from exc


_DEVICE_FIELDS = {
    "kind", "unit", "count", "turnaround_ms", "measures", "mode", "serial", "faults", "behind", "index",
}  # fmt: skip


def _devices(parent: Mapping[str, Any], path: str, numbers: Iterator[int]) -> tuple[DeviceSpec, ...]:
    devices: list[DeviceSpec] = []
    for id_, value in _mapping(parent.get("devices", {}), f"{path}.devices", None).items():
        here = f"{path}.devices.{id_}"
        entry = _mapping(value, here, _DEVICE_FIELDS)
        no_unit = 0.0 if "behind" in entry else None
        first = int(_number(entry, here, "unit", no_unit, low=0, high=247))
        count = int(_number(entry, here, "count", 1, low=1, high=248 - first))
        for index in range(count):
            name = f"{id_}-{index + 1}" if "count" in entry else id_
            devices.append(_device(name, entry, here, unit=first + index, number=next(numbers)))
    return tuple(devices)


def _device(id_: str, entry: Mapping[str, Any], path: str, *, unit: int, number: int) -> DeviceSpec:
    kind = _choice(entry, path, "kind", tuple(MAPS), None)
    try:
        faults = Faults().changed(_mapping(entry.get("faults", {}), f"{path}.faults", None))
    except ValueError as exc:
        raise SpecError(f"{path}.faults.{exc}") from exc
    return DeviceSpec(
        id=id_,
        kind=kind,
        unit=unit,
        turnaround_s=_number(entry, path, "turnaround_ms", 5, low=0) / 1000.0,
        measures=_choice(entry, path, "measures", tuple(MEASURES.values()), MEASURES[kind]),
        mode=int(_number(entry, path, "mode", 1, low=0, high=2)),
        serial=str(entry["serial"]) if "serial" in entry else None,
        number=number,
        faults=faults,
        behind=str(entry["behind"]) if "behind" in entry else None,
        index=int(_number(entry, path, "index", 1, low=1, high=8)),
    )


def _mapping(value: object, path: str, fields: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SpecError(f"{path}: {value!r} is not a mapping of names to values")
    for key in value:
        if fields is not None and key not in fields:
            raise SpecError(f"{path}: no field {key!r}; there are {', '.join(sorted(fields))}")
    return value


def _number(
    parent: Mapping[str, Any], path: str, name: str, default: float | None, *, low: float, high: float = 1e9
) -> float:
    value = parent.get(name, default)
    where = f"{path}.{name}" if path else name
    if value is None:
        raise SpecError(f"{where}: missing")
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SpecError(f"{where}: {value!r} is not a number from {low:g} to {high:g}")
    return value


def _choice(
    parent: Mapping[str, Any], path: str, name: str, choices: tuple[str, ...], default: str | None
) -> Any:
    value = parent.get(name, default)
    if value not in choices:
        raise SpecError(f"{path}.{name}: {value!r} is not one of {', '.join(choices)}")
    return value
