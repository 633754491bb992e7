"""Every energy counter of the catalogue at the end of its range and then rolled over, polled over a wire.

The line's owner polls all models at once, each a unit of one host. A counter of u16 or u32 ends where its type does;
of the other types nobody knows, so only what must never be is checked: a negative energy, or `_acc` stepping back.
"""

import math
from fractions import Fraction

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.model import Profile, Timing
from ccm_bus_reader.point import Point
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Value
from ccm_contracts.metrics import ACCUMULATED, METRICS
from tests.support.lines import Noted, running
from tests.support.registers import LARGEST, WIDTH, Slot, factor_slot, float_bits, slot_of
from tests.support.strict_device import StrictDevice, on_tcp, slots_of
from tests.support.wait import until

CATALOG = load_catalog()
MODELS = [
    profile
    for profile in CATALOG.models()
    if any(METRICS[p.metric].kind == "counter" for p in profile.points)
]
ROUNDS = 3
LINES = 2
HOUSEHOLD_KWH = 2_000_000
"""Where a counter that has no end stands before it is reset."""


def polled(profile: Profile) -> Profile:
    """Its counters alone, at each round, where the catalogue says they lie; without SunSpec's discovery."""
    points = [
        p.model_copy(update={"poll": "fast"}) for p in profile.points if METRICS[p.metric].kind == "counter"
    ]
    return profile.model_copy(update={"points": tuple(points), "sunspec": None, "timing": Timing()})


def end_of(point: Point) -> int | None:
    """How many steps the counter has; None where its type does not say."""
    if point.rollover is not None:
        return math.ceil(Fraction(point.rollover) / Fraction(point.scale))
    is_whole = point.type in ("u16", "u32") and point.scale_register is None
    return 1 << 16 * WIDTH[point.type] if is_whole and not point.plus and point.less is None else None


def usable(point: Point, end: int) -> int:
    """Steps at the end that mean something else than a count."""
    return max((end - mark for mark in point.invalid if end - 64 <= mark < end), default=0)


def bits_at_end(point: Point, slot: Slot) -> int:
    end = end_of(point)
    if end is not None:
        return end - 1 - usable(point, end)
    if slot.type in LARGEST:
        return float_bits(HOUSEHOLD_KWH / float(point.scale), slot.type)
    # A counter that the device counts downwards is the two's complement of its steps.
    return (
        int(HOUSEHOLD_KWH / float(point.scale)) % (1 << 16 * WIDTH[slot.type])
        if WIDTH[slot.type] > 1
        else 30_000
    )


def fill(device: StrictDevice, profile: Profile, *, is_over: bool) -> None:
    """At the end of the range, or at 0 behind it."""
    for slot, readers in slots_of(profile.points).items():
        device.put(slot, 0 if is_over else bits_at_end(readers[0], slot))
    for point in profile.points:
        if (factor := factor_slot(point)) is not None:
            device.put(factor, 0)


def rolling(profile: Profile) -> list[Point]:
    """Counters whose end is known and whose registers are theirs alone."""
    shared = slots_of(profile.points)
    return [p for p in profile.points if end_of(p) is not None and len(shared[slot_of(p, p.address)]) == 1]


async def test_counters_roll_over_once_and_what_is_accumulated_never_steps_back() -> None:
    chosen = [MODELS[start::LINES] for start in range(LINES)]
    for profiles in chosen:
        await roll_over({unit: polled(profile) for unit, profile in enumerate(profiles, 1)})


async def roll_over(profiles: dict[int, Profile]) -> None:
    units = {unit: StrictDevice(profile.limits) for unit, profile in profiles.items()}
    for unit, profile in profiles.items():
        fill(units[unit], profile, is_over=False)
    async with (
        on_tcp(units) as port,
        running(TcpHost("127.0.0.1", port), is_modbus_tcp=True) as (poller, noted),
    ):
        for unit, profile in profiles.items():
            config = DeviceConfig(id=name(unit), host="127.0.0.1", model=profile.id, unit=unit, poll_s=0.1)
            poller.add(Device(config, profile, poller.cost))
        await rounds(noted, profiles)
        before = {unit: noted.readings[name(unit)][-1][1] for unit in profiles}
        for unit, profile in profiles.items():
            fill(units[unit], profile, is_over=True)
        await rounds(noted, profiles)
    for unit, profile in profiles.items():
        assert units[unit].faults == [], profile.id
        told(noted, unit, profile, before[unit])


async def rounds(noted: Noted, profiles: dict[int, Profile]) -> None:
    counts = {unit: noted.count(name(unit)) for unit in profiles}
    await until(
        lambda: all(noted.count(name(unit)) >= count + ROUNDS for unit, count in counts.items()),
        deadline_s=50,
        what="further readings of every model",
    )


def name(unit: int) -> str:
    return f"m{unit}"


def told(noted: Noted, unit: int, profile: Profile, before: dict[str, Value]) -> None:
    """One event for each counter that rolled over, and the steps to the end are counted."""
    for point in profile.points:
        shown = [values[point.metric] for _, values in noted.readings[name(unit)]]
        assert all(value is None or (isinstance(value, int | float) and value >= 0) for value in shown), (
            profile.id
        )
        if point.metric not in ACCUMULATED:
            continue
        totals = [values[ACCUMULATED[point.metric]] for _, values in noted.readings[name(unit)]]
        numbers = [total for total in totals if isinstance(total, int | float)]
        assert numbers == sorted(numbers), (profile.id, point.metric)
    for point in rolling(profile):
        said = f"{name(unit)}: {METRICS[point.metric].label} rolled over"
        assert sum(text.startswith(said) for _, text in noted.events) == 1, (profile.id, point.metric)
        if point.metric in ACCUMULATED:
            end = end_of(point) or 0
            after = noted.readings[name(unit)][-1][1][ACCUMULATED[point.metric]]
            assert isinstance(after, int | float)
            assert Fraction(after) == Fraction(float(end * point.scale)), (profile.id, point.metric)
            assert before[ACCUMULATED[point.metric]] != after
