"""The power balance of a plant: powers of its devices in, flows and ratios out (manual section 7).

Pure. Does not know which reading is too old: `plant.py` does. Devices are summed in tenths of a watt; each flow is then
a whole watt, so that p_load = p_prod + p_grid (+ p_bat) holds exactly for whoever adds the published numbers.

Decided here:

- A production of a few watts below zero, an inverter's own consumption at night, stays negative: the identity then
  gives the house's consumption without the inverter's. It has no self-consumption ratio.
- A device that is both production and battery is a hybrid inverter, whose AC power `p` holds both: its production is
  p - p_bat, so that the battery is not counted twice.
- With a battery, what is exported counts as exported production first; p_self includes what charges the battery.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Value

TENTHS_PER_W = 10
PHASE_POWERS = ("p1", "p2", "p3")

Powers = Mapping[str, Value]
"""A fresh reading's values by metric, W."""


@dataclass(frozen=True, slots=True)
class Flows:
    """A balance without its plant and time: powers in whole W, ratios 0...1; None is unknown."""

    p_prod: int | None
    p_grid: int | None
    p_load: int | None
    p_self: int | None
    p_exp: int | None
    p_imp: int | None
    p_bat: int | None
    self_consumption: float | None
    self_sufficiency: float | None
    lacking: tuple[str, ...]
    """Devices of the plant without a usable power, in the plant's order."""


def power_of(values: Powers) -> int | None:
    """Active power in tenths of W: `p`, or the sum of the phases that the device has; None when one is unknown."""
    total = _tenths(values.get("p"))
    if total is not None:
        return total
    return _sum(_tenths(values[phase]) for phase in PHASE_POWERS if phase in values)


def flows_of(plant: Plant, fresh: Mapping[str, Powers]) -> Flows:
    """The balance of `plant`; a device that is not in `fresh` makes the flows unknown that need it."""
    production = {device: _production_of(plant, device, fresh.get(device)) for device in plant.production}
    grid = {device: power_of(fresh.get(device, {})) for device in plant.grid}
    battery = {device: _tenths(fresh.get(device, {}).get("p_bat")) for device in plant.battery}
    prod, net, bat = (_whole(_sum(role.values())) for role in (production, grid, battery))
    stored = bat if plant.battery else 0
    load = _sum((prod, net, stored))
    imported = max(net, 0) if net is not None else None
    exported = max(-net, 0) if net is not None else None
    own = max(0, prod - exported) if prod is not None and exported is not None else None
    lacking = [device for role in (production, grid, battery) for device in role if role[device] is None]
    return Flows(
        p_prod=prod,
        p_grid=net,
        p_load=load,
        p_self=own,
        p_exp=exported,
        p_imp=imported,
        p_bat=bat,
        self_consumption=_share(own, prod),
        self_sufficiency=_sufficiency(imported, load),
        lacking=tuple(dict.fromkeys(lacking)),
    )


def _production_of(plant: Plant, device: str, values: Powers | None) -> int | None:
    if values is None:
        return None
    power = power_of(values)
    if device not in plant.battery:
        return power
    battery = _tenths(values.get("p_bat"))
    return None if power is None or battery is None else power - battery


def _tenths(value: Value) -> int | None:
    return None if value is None or isinstance(value, str) else round(value * TENTHS_PER_W)


def _whole(tenths: int | None) -> int | None:
    """Whole watts."""
    return None if tenths is None else round(tenths / TENTHS_PER_W)


def _sum(parts: Iterable[int | None]) -> int | None:
    """None for nothing at all, and when a part is unknown: a wrong sum is worse than none."""
    known = list(parts)
    if not known:
        return None
    total = 0
    for part in known:
        if part is None:
            return None
        total += part
    return total


def _share(part: int | None, whole: int | None) -> float | None:
    if part is None or whole is None or whole <= 0:
        return None
    return round(min(max(part / whole, 0.0), 1.0), 4)


def _sufficiency(imported: int | None, load: int | None) -> float | None:
    return _share(load - imported, load) if load is not None and imported is not None else None
