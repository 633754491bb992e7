"""The devices of the day: each counts the reads that it answered, so that an answer to another read is seen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from ccm_bus_reader.catalogue import load_catalog
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_sim.devices import MAPS
from ccm_sim.electrical import NJ_PER_WH
from ccm_sim.encoding import Row, Value, seen
from ccm_sim.instrument import Device, DeviceSpec, Kind
from ccm_sim.physics import Outputs, Plant

PORT: Final = "cable"
GHOST: Final = "ghost"
"""In the configuration, and never on the wire."""
GHOST_UNIT: Final = 60
COUNTED_READS: Final = 400
"""The frequency goes up by 10 mHz with each read, and begins again at 50 Hz after so many."""
MODELS: Final[dict[Kind, str]] = {
    "ccm4": "energyccm/ccm4",
    "sdm630": "eastron/sdm630",
    "goodwe-dns": "goodwe/dns",
    "sun2000": "huawei/sun2000",
}
KINDS: Final[tuple[tuple[Kind, int, int], ...]] = (
    ("ccm4", 1, 16),
    ("sdm630", 20, 8),
    ("goodwe-dns", 100, 4),
    ("sun2000", 200, 4),
)
"""Kind, first unit, how many: 32 in all."""
INTERVALS_S: Final = (5.0, 10.0, 10.0, 15.0, 20.0, 30.0, 60.0, 8.0)
TURNAROUNDS_S: Final = (0.002, 0.005, 0.010, 0.030, 0.060)
APART_WH: Final = 1_000_000
"""Between the counters of two devices, so that none could be taken for the other's."""


class Counted(Device):
    """Its physics are those of the moment when it is asked; each read that it carries out shows in its frequency."""

    def __init__(self, spec: DeviceSpec, clock: Callable[[], float]) -> None:
        super().__init__(spec)
        self.shown: dict[str, Value] = {}
        """By quantity: what the newest read of it was answered."""
        self.read_at = float("-inf")
        """When it carried out its newest read."""
        self.reads = 0
        self.counted_nj: dict[str, int] = dict.fromkeys(self.counters, 0)
        """What truly went through it, whatever became of its counters."""
        self.moves = 0
        """How often its counters were set elsewhere."""
        self._clock = clock
        self._plant = Plant(seed=1 + spec.number)
        self._until = clock()
        for name in self.counters:
            self.counters[name] += spec.number * APART_WH * NJ_PER_WH

    def read(self, function: int, address: int, count: int) -> list[int]:
        self.reads += 1
        self._pass()
        words = super().read(function, address, count)
        values = self.values()
        for row in _rows(self.spec.kind, function, address, count):
            self.shown[row.name] = seen(row, values.get(row.name))
        self.read_at = self._clock()
        return words

    def write(self, address: int, values: Sequence[int]) -> None:
        self._pass()
        super().write(address, values)

    def advance(self, dt_us: int) -> None:
        before = dict(self.counters)
        super().advance(dt_us)
        for name, energy in self.counters.items():
            self.counted_nj[name] += energy - before[name]

    def show(self, counters_nj: dict[str, int]) -> None:
        """Its counters stand elsewhere from now on: a reset, a meter before its end, another meter."""
        self._pass()
        self.moves += 1
        self.counters |= counters_nj
        self._forget()

    def become(self, serial: str) -> None:
        """Another one of the same kind hangs there."""
        self.spec = replace(self.spec, serial=serial)
        self._forget()

    def _pass(self) -> None:
        now = self._clock()
        self.advance(round((now - self._until) * 1e6))
        self._until = now
        flows = self._plant.flows(now, Outputs())
        self.observe(replace(flows, f_mhz=50_000 + 10 * (self.reads % COUNTED_READS)))


@lru_cache(maxsize=1000)
def _rows(kind: Kind, function: int, address: int, count: int) -> tuple[Row, ...]:
    """The quantities that such a read holds whole."""
    return tuple(
        row
        for row in MAPS[kind].rows(function)
        if row.name and address <= row.address and row.address + row.length <= address + count
    )


@lru_cache
def steps_kwh(kind: Kind) -> dict[str, float]:
    """What its counters count in."""
    rows = (*MAPS[kind].holding, *MAPS[kind].inputs)
    return {row.name: row.step_wh / 1000 for row in rows if row.step_wh}


def cabinet(clock: Callable[[], float]) -> dict[str, Counted]:
    """The devices by id."""
    found: dict[str, Counted] = {}
    for kind, first, count in KINDS:
        for index in range(count):
            number = len(found)
            spec = DeviceSpec(
                f"{kind}-{index + 1}",
                kind,
                first + index,
                turnaround_s=TURNAROUNDS_S[number % len(TURNAROUNDS_S)],
                number=number,
            )
            found[spec.id] = Counted(spec, clock)
    return found


@lru_cache
def held(kind: Kind) -> frozenset[str]:
    """What is not read in each round, so that readings hold the last value."""
    points = load_catalog().find(MODELS[kind]).points
    return frozenset(point.metric for point in points if point.poll != "fast")


def configs(devices: dict[str, Counted]) -> dict[str, DeviceConfig]:
    """How they are read, and the one that is not there."""
    found: dict[str, Any] = {
        device.id: DeviceConfig(
            id=device.id,
            port=PORT,
            model=MODELS[device.spec.kind],
            unit=device.unit,
            poll_s=INTERVALS_S[number % len(INTERVALS_S)],
        )
        for number, device in enumerate(devices.values())
    }
    found[GHOST] = DeviceConfig(id=GHOST, port=PORT, model="energyccm/ccm4", unit=GHOST_UNIT, poll_s=10.0)
    return found
