"""What a search for devices tries, in which order, and how long the rest will take. Pure.

What is likely comes first: the line's own parameters and those of the catalogue's devices, the units that installers
use; then, if everything is wanted, the rest. No pair of parameters and unit is tried twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.model import Profile
from ccm_contracts.scan_state import LineSetting
from ccm_contracts.verbs.bus_reader import ScanRequest

UNITS: Final = range(1, 248)
COMMON_UNITS: Final = (*range(1, 11), 100, 247)
"""What installers count from, and the factory settings of inverters."""
RATES: Final = (9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200)
FORMATS: Final = ("8N1", "8E1", "8O1", "8N2")
MOST_LIKELY_SETTINGS: Final = 4
"""Parameters that a quick search tries on a serial line."""
SMOOTHING: Final = 0.05
NETWORK: Final = LineSetting()
"""A connection without serial parameters."""


@dataclass(frozen=True, slots=True)
class Step:
    """These units with these parameters."""

    setting: LineSetting
    units: tuple[int, ...]
    is_thorough: bool = True
    """Asked for input registers too, where holding registers bring no answer."""


def factory_settings(profiles: Iterable[Profile]) -> tuple[LineSetting, ...]:
    """The serial parameters that devices of the catalogue leave the factory with, the most frequent first."""
    counted = Counter(
        (profile.serial.baudrate, profile.serial.format)
        for profile in profiles
        if "modbus-rtu" in profile.protocols and profile.serial.format.startswith("8")
    )
    ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    return tuple(LineSetting(baudrate=rate, format=format_) for (rate, format_), _ in ordered)


def steps_of(
    request: ScanRequest,
    own: LineSetting,
    factory: Sequence[LineSetting] = (),
    configured: Iterable[int] = (),
) -> tuple[Step, ...]:
    """`own`: the line's parameters, or `NETWORK`. `configured`: units of the line's devices."""
    given = _given_units(request)
    likely_units = given or tuple(dict.fromkeys([*sorted(configured), *COMMON_UNITS]))
    every_unit = given or tuple(UNITS)
    likely = _likely_settings(request, own, factory)
    wanted = [(setting, likely_units) for setting in likely]
    if request.depth == "full":
        wanted += [
            (setting, every_unit) for setting in dict.fromkeys([*likely, *_all_settings(request, own)])
        ]
    return tuple(_once(wanted, frozenset(likely)))


def _given_units(request: ScanRequest) -> tuple[int, ...]:
    if request.first_unit is None and request.last_unit is None:
        return ()
    first = request.first_unit or 1
    return tuple(range(first, (request.last_unit or UNITS[-1]) + 1))


def _likely_settings(
    request: ScanRequest, own: LineSetting, factory: Sequence[LineSetting]
) -> list[LineSetting]:
    if own == NETWORK:
        return [NETWORK]
    if request.baudrates or request.formats:
        return _all_settings(request, own)
    return list(dict.fromkeys([own, *factory]))[:MOST_LIKELY_SETTINGS]


def _all_settings(request: ScanRequest, own: LineSetting) -> list[LineSetting]:
    if own == NETWORK:
        return [NETWORK]
    formats = tuple(request.formats) or (FORMATS if request.depth == "full" else (own.format,))
    rates = tuple(request.baudrates) or (RATES if request.depth == "full" else (own.baudrate,))
    return [LineSetting(baudrate=rate, format=format_) for format_ in formats for rate in rates]


def _once(
    wanted: Iterable[tuple[LineSetting, Sequence[int]]], likely: frozenset[LineSetting]
) -> Iterator[Step]:
    seen: set[tuple[LineSetting, int]] = set()
    for setting, units in wanted:
        fresh = tuple(unit for unit in units if (setting, unit) not in seen)
        seen.update((setting, unit) for unit in fresh)
        if fresh:
            yield Step(setting, fresh, setting in likely)


class Progress:
    """How far a search is: pairs of parameters and unit done, and how long the rest will take."""

    def __init__(self, steps: Sequence[Step], first_guess_s: float) -> None:
        self.total = sum(len(step.units) for step in steps)
        self.done = 0
        self._each_s = first_guess_s

    def tried(self, took_s: float) -> None:
        """One more, that took so long."""
        self.done += 1
        self._each_s += SMOOTHING * (took_s - self._each_s)

    def skipped(self) -> None:
        """One that needs no question: its unit was found already."""
        self.done += 1

    @property
    def percent(self) -> float:
        return round(100.0 * self.done / self.total, 1) if self.total else 100.0

    @property
    def left_s(self) -> float:
        """Seconds."""
        return round((self.total - self.done) * self._each_s, 1)
