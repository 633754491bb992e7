"""The simulated site: sun, arrays, loads and the grid, at any moment, with grid = load - production on each phase.

Pure: the time is passed in and the same time gives the same site. Powers are integer mW (mvar) so that the balance
is exact; production is positive, grid power is positive when importing (manual section 7). Reactive power is
positive when inductive. Everything is made up but plausible; nothing here is measured.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

Three = tuple[int, int, int]

WATER_HEATER_W = 2000
PUMP_W = 1200
PUMP_TAN_PHI = 0.62  # cos phi 0.85, a small induction motor
DIMMED_HEATER_W = 3000
ANALOG_FULL_V = 10.0
BASE_TAN_PHI = 0.33  # cos phi 0.95
FRIDGE_W = 120
FRIDGE_TAN_PHI = 0.75  # cos phi 0.8
ARRAY_TAN_PHI = -0.01
GRID_OHM = 0.25
NOMINAL_V = 230.0
SUNRISE_H, SUNSET_H = 6.0, 20.0


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the gateway's outputs switch: relay-1 the water heater, relay-2 the pump, 0-10 V the dimmed heater."""

    relay_1: bool = False
    relay_2: bool = False
    analog_v: float = 0.0


@dataclass(frozen=True, slots=True)
class Flows:
    """The site at one moment: powers per phase in mW and mvar, voltages in mV, frequency in mHz, hour of day."""

    hour: float
    day: int
    load_mw: Three
    load_mvar: Three
    roof_mw: Three
    farm_mw: Three
    v_mv: Three
    f_mhz: int
    ambient_c: float

    @property
    def grid_mw(self) -> Three:
        """Positive when importing."""
        return _less(self.load_mw, self.roof_mw, self.farm_mw)

    @property
    def grid_mvar(self) -> Three:
        """Positive when inductive power is drawn."""
        return _less(self.load_mvar, array_mvar(self.roof_mw), array_mvar(self.farm_mw))


@dataclass(frozen=True, slots=True)
class Plant:
    """A site's fixed figures. Arrays in W of peak production; `day_minutes` real minutes are one simulated day."""

    roof_w: int = 5000
    farm_w: int = 8000
    day_minutes: float = 24.0
    start_hour: float = 10.0
    seed: int = 1

    def flows(self, elapsed_s: float, outputs: Outputs) -> Flows:
        """The site `elapsed_s` real seconds after its start."""
        hours = self.start_hour + elapsed_s * 24.0 / (self.day_minutes * 60.0)
        hour = hours % 24.0
        roof_mw = round(self.roof_w * 1000 * sun(hour) * self._clear(hours))
        farm_mw = round(self.farm_w * 1000 * sun(hour) * self._clear(hours - 0.1))
        load_mw, load_mvar = self._load(hours, outputs)
        roof = (roof_mw, 0, 0)
        farm = _thirds(farm_mw)
        return Flows(
            hour=hour,
            day=int(hours // 24.0),
            load_mw=load_mw,
            load_mvar=load_mvar,
            roof_mw=roof,
            farm_mw=farm,
            v_mv=self._voltages(elapsed_s, _less(load_mw, roof, farm)),
            f_mhz=50_000 + round(45 * noise(self.seed, 1, elapsed_s / 7.0)),
            ambient_c=18.0 + 7.0 * math.sin((hour - 9.0) * math.pi / 12.0),
        )

    def _clear(self, hours: float) -> float:
        """Share of the clear-sky power that passing clouds leave."""
        cover = (noise(self.seed, 2, hours * 3.0) - 0.2) / 0.4
        return 1.0 - 0.7 * _smooth(min(max(cover, 0.0), 1.0))

    def _load(self, hours: float, outputs: Outputs) -> tuple[Three, Three]:
        hour = hours % 24.0
        base_w = 250.0 + sum(_bump(hour, *peak) for peak in _HABITS)
        base_w *= 1.0 + 0.08 * noise(self.seed, 3, hours * 30.0)
        fridge_w = FRIDGE_W if (hours * 60.0) % 40.0 < 12.0 else 0
        heater_w = WATER_HEATER_W if outputs.relay_1 else 0
        pump_w = PUMP_W if outputs.relay_2 else 0
        dimmed_w = DIMMED_HEATER_W * min(max(outputs.analog_v / ANALOG_FULL_V, 0.0), 1.0)
        load_w = (base_w * 0.45 + heater_w, base_w * 0.30 + pump_w, base_w * 0.25 + fridge_w + dimmed_w)
        load_var = (
            base_w * 0.45 * BASE_TAN_PHI,
            base_w * 0.30 * BASE_TAN_PHI + pump_w * PUMP_TAN_PHI,
            base_w * 0.25 * BASE_TAN_PHI + fridge_w * FRIDGE_TAN_PHI,
        )
        return _milli(load_w), _milli(load_var)

    def _voltages(self, elapsed_s: float, grid_mw: Three) -> Three:
        """Phase voltages behind the grid's resistance: import lowers them, export raises them."""
        return _milli(
            (
                NOMINAL_V
                + 1.2 * noise(self.seed, 4 + phase, elapsed_s / 11.0)
                - GRID_OHM * grid_mw[phase] / 1000.0 / NOMINAL_V
            )
            for phase in range(3)
        )


DEFAULT_PLANT = Plant()
"""The demo's site."""

_HABITS = ((7.5, 0.7, 900.0), (14.0, 1.0, 700.0), (20.5, 1.6, 1300.0))
"""(hour, width in hours, W): breakfast, lunch, evening."""


def sun(hour: float) -> float:
    """Clear-sky production as a share of the peak: 0 at night, 1 at solar noon."""
    if not SUNRISE_H < hour < SUNSET_H:
        return 0.0
    return float(math.sin(math.pi * (hour - SUNRISE_H) / (SUNSET_H - SUNRISE_H)) ** 1.3)


def array_mvar(p_mw: Three) -> Three:
    """Reactive power of an inverter that makes this power; slightly capacitive."""
    return round(p_mw[0] * ARRAY_TAN_PHI), round(p_mw[1] * ARRAY_TAN_PHI), round(p_mw[2] * ARRAY_TAN_PHI)


def noise(seed: int, channel: int, x: float) -> float:
    """A smooth curve between -1 and 1 that depends only on its arguments; it turns about once per unit of x."""
    cell = math.floor(x)
    left, right = _lattice(seed, channel, cell), _lattice(seed, channel, cell + 1)
    return left + (right - left) * _smooth(x - cell)


def _lattice(seed: int, channel: int, cell: int) -> float:
    mixed = (cell * 374_761_393 + channel * 668_265_263 + seed * 2_246_822_519) & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 13)) * 1_274_126_177 & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 32767.5 - 1.0


def _smooth(share: float) -> float:
    return share * share * (3.0 - 2.0 * share)


def _bump(hour: float, middle: float, width: float, height_w: float) -> float:
    return height_w * math.exp(-(((hour - middle) / width) ** 2))


def _milli(values: Iterable[float]) -> Three:
    first, second, third = (round(value * 1000.0) for value in values)
    return first, second, third


def _thirds(total: int) -> Three:
    third = total // 3
    return total - 2 * third, third, third


def _less(whole: Three, *parts: Three) -> Three:
    first, second, third = (whole[phase] - sum(part[phase] for part in parts) for phase in range(3))
    return first, second, third
