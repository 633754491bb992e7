"""A whole simulated site: lines, TCP server, physics and control socket on one reactor.

In a directory of its own: `tty-<line>` links, `outputs/`, `control.sock`, and `state.json` if asked for.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ccm_sim.control import ControlServer
from ccm_sim.instrument import Device
from ccm_sim.line import SerialLine
from ccm_sim.outputs import OutputFiles
from ccm_sim.physics import Flows, Outputs, Plant
from ccm_sim.reactor import Reactor
from ccm_sim.spec import SiteSpec
from ccm_sim.state import SAVE_EVERY_S, Saved, load, save
from ccm_sim.tcp import TcpServer

NO_UNIT = 0
"""In a specification: silent until it was assigned one, which it then keeps."""
ASSIGNMENT_S = 60.0
"""A device whose button was pressed waits so long for a unit (docs/ccm-modbus-map.md)."""
TICK_S = 0.25
"""Powers stand still between two ticks, and are counted as energy at the second."""


class Site:
    """`async with Site(spec, directory) as site` (or `with`): it runs until the end of the block.

    It has a thread of its own. All methods may be called from any thread.
    """

    def __init__(self, spec: SiteSpec, directory: Path, *, state_file: Path | None = None) -> None:
        self.spec = spec
        self.directory = directory
        self.devices: dict[str, Device] = {device.id: Device(device) for device in spec.devices}
        for device in self.devices.values():
            if device.spec.behind is not None:
                self.devices[device.spec.behind].secondaries[device.spec.index] = device
        self.lines: dict[str, SerialLine] = {}
        self.tcp: TcpServer | None = None
        self._plant = _with_measured_arrays(spec.plant, self.devices)
        self._state_file = state_file
        self._reactor = Reactor()
        self._control: ControlServer | None = None
        self._outputs_files = OutputFiles(directory / "outputs")
        self._outputs = Outputs()
        self._flows: Flows | None = None
        self._elapsed_us = 0
        self._last_us = 0
        self._saved_us = 0
        self._saved_units: dict[str, int] = {}
        self._next_tick = 0.0
        self._is_frozen = False
        self._presses: dict[str, int] = {}

    @property
    def tcp_address(self) -> tuple[str, int] | None:
        """(host, port) of the TCP server, if the site has one."""
        return self.tcp.address if self.tcp else None

    def line_path(self, name: str) -> Path:
        """The link to a line's terminal."""
        return self.lines[name].link

    def start(self) -> None:
        """Opens everything; ready when it returns. On an error nothing stays open."""
        (self.directory / "outputs").mkdir(parents=True, exist_ok=True)
        self._restore()
        self._reactor.start()
        try:
            self._reactor.call(self._open)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Counts and saves the last energy, closes everything, removes links and socket."""
        self._reactor.call(self._close)
        self._reactor.stop()

    def stats(self) -> dict[str, Any]:
        """{"lines": {name: LineStats as a mapping, and window_s}, "tcp": TcpStats or None}."""
        return self._reactor.call(self._stats)

    def reset_stats(self) -> None:
        """Begins to count anew on every line."""
        self._reactor.call(self._reset_stats)

    def set_faults(self, device: str, **changes: Any) -> None:
        """Changes some faults of a device (see Faults); ValueError for an unknown device or fault."""
        self._reactor.call(lambda: self._set_faults(device, changes))

    def press(self, *devices: str) -> bool:
        """The buttons of CcMs, at one moment: whether all wait for a unit now. They give up after `ASSIGNMENT_S`."""
        return self._reactor.call(lambda: all({each: self._press(each) for each in devices}.values()))

    def truth(self) -> dict[str, Any]:
        """The physical values, and every device's quantities with the resolution of their registers."""
        return self._reactor.call(self._truth)

    def freeze(self, on: bool) -> None:
        """Lets the physics stand still (time, powers, counters), or go on from there."""
        self._reactor.call(lambda: self._freeze(on=on))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _open(self) -> None:
        self._last_us = _now_us()
        self._next_tick = time.monotonic()
        self._tick()
        if self._state_file:
            self._save(is_closing=False)
        for number, line in enumerate(self.spec.lines):
            devices = [self.devices[device.id] for device in line.devices if device.behind is None]
            link = self.directory / f"tty-{line.name}"
            seed = self.spec.plant.seed * 1000 + number
            self.lines[line.name] = SerialLine(
                line.pace, link, devices, self._reactor, seed, is_strict=line.is_strict
            )
            self.lines[line.name].open()
        if self.spec.tcp:
            tcp = self.spec.tcp
            devices = [self.devices[device.id] for device in tcp.devices]
            self.tcp = TcpServer(
                tcp.host, tcp.port, devices, self._reactor, self.spec.plant.seed * 1000 + 999
            )
        self._control = ControlServer(self.directory / "control.sock", self._reactor, self._commands())

    def _close(self) -> None:
        if self._control:
            self._control.close()
        if self.tcp:
            self.tcp.close()
        for line in self.lines.values():
            line.close()
        if self._state_file and self._flows:
            self._count()
            self._save(is_closing=True)

    def _tick(self) -> None:
        if not self._is_frozen:
            self._count()
            self._outputs = self._outputs_files.read()
            self._flows = self._plant.flows(self._elapsed_us / 1e6, self._outputs)
            for device in self.devices.values():
                device.observe(self._flows)
        is_due = self._last_us - self._saved_us >= SAVE_EVERY_S * 1e6
        if self._state_file and (is_due or self._units() != self._saved_units):
            self._save(is_closing=False)
        self._next_tick = max(self._next_tick + TICK_S, time.monotonic())
        self._reactor.call_at(self._next_tick, self._tick)

    def _count(self) -> None:
        """Energy of the powers that were shown since the last time."""
        now_us = _now_us()
        dt_us = 0 if self._is_frozen else now_us - self._last_us
        self._last_us = now_us
        self._elapsed_us += dt_us
        for device in self.devices.values():
            device.advance(dt_us)

    def _freeze(self, *, on: bool) -> None:
        self._count()
        self._is_frozen = on

    def _restore(self) -> None:
        saved = load(self._state_file) if self._state_file else None
        for id_, counters in saved.counters.items() if saved else ():
            if id_ in self.devices:
                self.devices[id_].restore(counters, was_closed=bool(saved and saved.was_closed))
        for id_, unit in saved.units.items() if saved else ():
            if id_ in self.devices and self.devices[id_].spec.unit == NO_UNIT:
                self.devices[id_].unit = unit

    def _save(self, *, is_closing: bool) -> None:
        if self._state_file:
            counters = {id_: device.counters for id_, device in self.devices.items()}
            self._saved_units = self._units()
            save(self._state_file, Saved(is_closing, counters, self._saved_units))
            self._saved_us = self._last_us

    def _units(self) -> dict[str, int]:
        return {id_: device.unit for id_, device in self.devices.items()}

    def _commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "stats": lambda _: self._stats(),
            "reset": lambda _: self._reset_stats(),
            "truth": lambda _: self._truth(),
            "faults": lambda request: self._set_faults(request.get("device"), request.get("set")),
            "press": lambda request: {id_: self._press(id_) for id_ in request.get("devices") or ()},
            "freeze": lambda request: self._freeze(on=request.get("on") is True),
        }

    def _stats(self) -> dict[str, Any]:
        now = time.monotonic()
        lines = {
            name: {**asdict(line.stats), "window_s": now - line.stats.since}
            for name, line in self.lines.items()
        }
        return {"lines": lines, "tcp": asdict(self.tcp.stats) if self.tcp else None}

    def _reset_stats(self) -> None:
        for line in self.lines.values():
            line.reset_stats()
        if self.tcp:
            self.tcp.reset_stats()

    def _device(self, id_: object) -> Device:
        device = self.devices.get(id_) if isinstance(id_, str) else None
        if device is None:
            raise ValueError(f"device: no {id_!r}; there are {', '.join(self.devices)}")
        return device

    def _press(self, id_: object) -> bool:
        device = self._device(id_)
        device.press()
        presses = self._presses[device.id] = self._presses.get(device.id, 0) + 1

        def give_up() -> None:
            if self._presses[device.id] == presses:
                device.is_assigning = False

        if device.is_assigning:
            self._reactor.call_at(time.monotonic() + ASSIGNMENT_S, give_up)
        return device.is_assigning

    def _set_faults(self, id_: object, changes: object) -> None:
        device = self._device(id_)
        if not isinstance(changes, dict):
            raise ValueError(f"set: {changes!r} is not a mapping of faults to values")
        device.faults = device.faults.changed(changes)

    def _truth(self) -> dict[str, Any]:
        flows = self._flows
        if flows is None:
            return {}
        devices = {
            id_: {"kind": device.spec.kind, "unit": device.unit, "values": device.encoded()}
            for id_, device in self.devices.items()
        }
        return {"site": _site_truth(flows), "outputs": asdict(self._outputs), "devices": devices}


def _site_truth(flows: Flows) -> dict[str, Any]:
    """W per phase and in total; grid positive when importing."""
    powers = {
        "load": flows.load_mw,
        "roof": flows.roof_mw,
        "farm": flows.farm_mw,
        "grid": flows.grid_mw,
        "production": tuple(roof + farm for roof, farm in zip(flows.roof_mw, flows.farm_mw, strict=True)),
    }
    out: dict[str, Any] = {"hour": flows.hour, "day": flows.day}
    for name, phases in powers.items():
        out[f"{name}_w"] = sum(phases) / 1000
        out[f"{name}_w_phases"] = [phase / 1000 for phase in phases]
    return out


def _with_measured_arrays(plant: Plant, devices: Mapping[str, Device]) -> Plant:
    """An array without its inverter does not exist."""
    measured = {device.measures for device in devices.values()}
    return replace(
        plant,
        roof_w=plant.roof_w if "roof" in measured else 0,
        farm_w=plant.farm_w if "farm" in measured else 0,
    )


def _now_us() -> int:
    return time.monotonic_ns() // 1000
