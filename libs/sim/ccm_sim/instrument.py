"""One simulated device: its state, its counters, and the registers that it answers with.

Knows nothing of lines and frames. Time and the site's flows are handed in; between two `observe` calls its values
stand still, and `advance` counts their energy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ccm_sim import modbus
from ccm_sim.devices import MAPS
from ccm_sim.electrical import NJ_PER_WH, Point, passed
from ccm_sim.encoding import Row, Value, image, seen
from ccm_sim.faults import NO_FAULTS, Faults
from ccm_sim.physics import Flows, Three, array_mvar
from ccm_sim.showing import VALUES, State

Kind = Literal["ccm4", "sdm630", "goodwe-dns", "sun2000"]
Measures = Literal["grid", "load", "roof", "farm"]

MEASURES: Mapping[str, Measures] = {"ccm4": "grid", "sdm630": "load", "goodwe-dns": "roof", "sun2000": "farm"}
"""Where a device sits unless its specification says otherwise."""

UNIT_ADDRESS, MODE_ADDRESS = 5, 6
UNIDIRECTIONAL, BIDIRECTIONAL, REVERSE = 0, 1, 2

ASSIGNMENT_UNIT = 247
"""Where a CcM listens, and only there, after its button was pressed (docs/ccm-modbus-map.md)."""
ASSIGNMENT_ADDRESS = 8
SECONDARY_BASE, SECONDARY_STRIDE = 1000, 100
"""Windows of the secondary devices in the registers of their principal (docs/ccm-modbus-map.md)."""

CRASH_MARGIN_NJ = 15_000 * 12 * 1_000_000_000
"""More than any counter here can gain (15 kW) between two saves 10 s apart."""

_FIRST_WH = {
    "e_imp": 12_345_678,
    "e_exp": 4_567_890,
    "eq_imp": 1_234_567,
    "eq_exp": 234_567,
    "e_total": 8_765_432,
}


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device of a site. `serial` None gives one that is derived from `number`, its place in the site.

    Unit 0 is silent until its button is pressed. `behind`: a secondary, the `index`th one of that principal.
    """

    id: str
    kind: Kind
    unit: int
    turnaround_s: float = 0.005
    measures: Measures | None = None
    mode: int = BIDIRECTIONAL
    serial: str | None = None
    number: int = 0
    faults: Faults = NO_FAULTS
    behind: str | None = None
    index: int = 1


class Device:
    """A device on a line or on TCP; a modbus.Target."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.id = spec.id
        self.spec = spec
        self.map = MAPS[spec.kind]
        self.measures = spec.measures or MEASURES[spec.kind]
        self.unit = spec.unit
        self.mode = spec.mode
        self.is_assigning = False
        self.secondaries: dict[int, Device] = {}
        self.faults = spec.faults
        self.is_inverter = spec.kind in ("goodwe-dns", "sun2000")
        self.counters = _first_counters(is_inverter=self.is_inverter)
        self._point = Point((0, 0, 0), (0, 0, 0), (230_000, 230_000, 230_000), 50_000)
        self._flows: Flows | None = None
        self._day: int | None = None
        self._values: dict[str, Value] | None = None
        self._images: dict[int, dict[int, int]] = {}

    @property
    def functions(self) -> frozenset[int]:
        """The function codes it knows."""
        return self.map.functions

    @property
    def turnaround_s(self) -> float:
        """From the end of a request to the start of the reply."""
        return self.spec.turnaround_s if self.faults.turnaround_s is None else self.faults.turnaround_s

    def hears(self, unit: int) -> bool:
        """Whether a request to `unit` is for it."""
        return unit == (ASSIGNMENT_UNIT if self.is_assigning else self.unit) and unit != modbus.BROADCAST

    def press(self) -> None:
        """Its black button: begins assignment, or gives it up."""
        if self.spec.kind != "ccm4":
            raise ValueError(f"{self.id}: a {self.spec.kind} has no button")
        self.is_assigning = not self.is_assigning

    def observe(self, flows: Flows) -> None:
        """Takes over what is on its wires now."""
        self._flows = flows
        self._point = _turned(
            _at(flows, self.measures), self.mode if self.spec.kind == "ccm4" else BIDIRECTIONAL
        )
        if self._day not in (None, flows.day) and "e_day" in self.counters:
            self.counters["e_day"] = 0
        self._day = flows.day
        self._forget()

    def advance(self, dt_us: int) -> None:
        """Counts the energy of the present powers over `dt_us` µs."""
        energy = passed(self._point, dt_us)
        if self.is_inverter:
            produced = energy["e_imp"]
            energy = {"e_total": produced, "e_day": produced}
        for name, gained in energy.items():
            self.counters[name] += gained
        self._forget()

    def restore(self, counters: Mapping[str, int], *, was_closed: bool) -> None:
        """Continues from saved counters; after a crash above the highest value that can have been read."""
        margin = 0 if was_closed else CRASH_MARGIN_NJ
        for name in self.counters.keys() & counters.keys():
            self.counters[name] = counters[name] + margin
        self._forget()

    def read(self, function: int, address: int, count: int) -> list[int]:
        """The registers, or ModbusError: 2 where one of them does not exist, 3 where the request is too long."""
        if count > self.map.max_read:
            raise modbus.ModbusError(modbus.ILLEGAL_VALUE)
        if address >= SECONDARY_BASE and self.secondaries:
            index, at = divmod(address - SECONDARY_BASE, SECONDARY_STRIDE)
            behind = self.secondaries.get(index + 1)
            if behind is None or at + count > SECONDARY_STRIDE:
                raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS)
            return behind.read(function, at, count)
        registers = self._images.get(function)
        if registers is None:
            registers = image(self.map.rows(function), self.values(), self.map.marks)
            self._images[function] = registers
        try:
            return [registers[at] for at in range(address, address + count)]
        except KeyError:
            raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS) from None

    def write(self, address: int, values: Sequence[int]) -> None:
        """A CcM takes its unit address and its measuring mode, and in assignment its unit with its serial number."""
        if self.spec.kind == "ccm4" and self.is_assigning and address == ASSIGNMENT_ADDRESS:
            self._assign(values)
            return
        if self.spec.kind != "ccm4" or address not in (UNIT_ADDRESS, MODE_ADDRESS):
            raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS)
        value = values[0]
        low, high = (1, 247) if address == UNIT_ADDRESS else (UNIDIRECTIONAL, REVERSE)
        if not low <= value <= high:
            raise modbus.ModbusError(modbus.ILLEGAL_VALUE)
        if address == UNIT_ADDRESS:
            self.unit = value
            self._forget()
            return
        self.mode = value
        if self._flows is not None:
            self.observe(self._flows)

    def _assign(self, values: Sequence[int]) -> None:
        """[serial high, serial low, unit]: only the device with that serial number takes it."""
        own = int(str(self.values()["serial_number"]))
        if len(values) != 3 or values[0] << 16 | values[1] != own or not 1 <= values[2] < ASSIGNMENT_UNIT:
            raise modbus.ModbusError(modbus.ILLEGAL_VALUE)
        self.unit, self.is_assigning = values[2], False
        self._forget()

    def values(self) -> dict[str, Value]:
        """Every quantity at full resolution; counters in whole Wh."""
        if self._values is None:
            self._values = VALUES[self.spec.kind](self._state())
        return self._values

    def encoded(self) -> dict[str, Value]:
        """Every quantity with the resolution of its register, as a reader without faults finds it."""
        values = self.values()
        rows: tuple[Row, ...] = self.map.inputs + self.map.holding
        return {row.name: seen(row, values.get(row.name)) for row in rows if row.name}

    def _state(self) -> State:
        serial = self.spec.serial
        return State(
            point=self._point,
            counters=self.counters,
            unit=self.unit,
            mode=self.mode,
            hour=self._flows.hour if self._flows else 0.0,
            ambient_c=self._flows.ambient_c if self._flows else 20.0,
            number=int(serial) if serial and serial.isdecimal() else 21_000_001 + self.spec.number,
            serial=serial,
        )

    def _forget(self) -> None:
        self._values = None
        self._images.clear()


def _first_counters(*, is_inverter: bool) -> dict[str, int]:
    if is_inverter:
        return {"e_total": _FIRST_WH["e_total"] * NJ_PER_WH, "e_day": 0}
    names = ("e_imp", "e_exp", "eq_imp", "eq_exp")
    counters = {name: _FIRST_WH[name] * NJ_PER_WH for name in names}
    for name in names:
        counters |= {f"{name}{phase}": _FIRST_WH[name] * NJ_PER_WH // 3 for phase in (1, 2, 3)}
    return counters


@lru_cache(maxsize=8)
def _at(flows: Flows, measures: Measures) -> Point:
    powers: dict[Measures, tuple[Three, Three]] = {
        "grid": (flows.grid_mw, flows.grid_mvar),
        "load": (flows.load_mw, flows.load_mvar),
        "roof": (flows.roof_mw, array_mvar(flows.roof_mw)),
        "farm": (flows.farm_mw, array_mvar(flows.farm_mw)),
    }
    p_mw, q_mvar = powers[measures]
    return Point(p_mw, q_mvar, flows.v_mv, flows.f_mhz)


def _turned(point: Point, mode: int) -> Point:
    """What a CcM shows of it: modes of docs/ccm-modbus-map.md, register 6."""
    if mode == BIDIRECTIONAL:
        return point
    if mode == REVERSE:
        return Point(_each(point.p_mw, -1), _each(point.q_mvar, -1), point.v_mv, point.f_mhz)
    first, second, third = (abs(p) for p in point.p_mw)
    return Point((first, second, third), point.q_mvar, point.v_mv, point.f_mhz)


def _each(powers: Three, factor: int) -> Three:
    return powers[0] * factor, powers[1] * factor, powers[2] * factor
