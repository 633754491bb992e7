"""Every model of the catalogue, read over a wire from a device that holds extreme values.

What each register pattern means is computed apart from bus-reader (`tests/support/registers.py`): both ends of each
type, negative numbers, zero, NaN and infinity, every mark of "not available", all word orders, texts with NULs, scale
factors from -10 to 10 and beyond. The device refuses and notes reads that its documents forbid.
"""

from fractions import Fraction
from pathlib import Path

import pytest

from ccm_bus_reader.catalogue import shipped_files
from ccm_bus_reader.model import Limits, Profile, Timing
from ccm_bus_reader.point import Order, Point, Type, resolution_of
from ccm_bus_reader.profile_source import load_profile_file
from ccm_bus_reader.read_once import read_profile
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Value
from tests.support.lines import running
from tests.support.pty_pair import pty_pair
from tests.support.registers import FACTORS, LARGEST, Meaning, Slot
from tests.support.strict_device import StrictDevice, device_of, lay, on_tcp, on_terminal
from tests.support.wait import until

FILES = [Path(str(file)) for file in shipped_files()]
TURNS = 10
UNIT = 17


def family_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def same(point: Point, value: Value, wanted: Meaning) -> bool:
    """Whether the value is the wanted one, to its step where it was rounded, and to a float's own precision."""
    if not isinstance(wanted, Fraction) or isinstance(value, str) or value is None:
        return value == wanted
    step = resolution_of(point)
    is_rounded = step is not None and (point.resolution is not None or point.type in LARGEST)
    slack = Fraction(step) / 2 if step is not None and is_rounded else Fraction(0)
    return abs(Fraction(value) - wanted) <= slack + abs(wanted) / 2**52


async def read(port: str, profile: Profile) -> dict[str, Value]:
    """Without the pauses that the real device needs between two requests."""
    profile = profile.model_copy(update={"timing": Timing()})
    return {found.metric: found.value for found in await read_profile(port, profile, UNIT)}


async def compare(port: str, profile: Profile, device: StrictDevice, turn: int) -> set[str]:
    """Read it as it is filled for this turn; the metrics that were compared."""
    is_static = profile.sunspec is not None and {701, 713, 714} & set(profile.sunspec.shows)
    wanted = lay(device, profile.points, turn, (0,) if is_static else FACTORS)
    values = await read(port, profile)
    points = {point.metric: point for point in profile.points}
    wrong = {
        metric: (values.get(metric, "is missing"), meant)
        for metric, meant in wanted.items()
        if metric not in values or not same(points[metric], values[metric], meant)
    }
    assert wrong == {}, f"{profile.id}, turn {turn}"
    assert device.faults == [], profile.id
    return set(wanted)


@pytest.mark.parametrize("path", FILES, ids=family_of)
async def test_every_model_reads_extreme_values_as_they_are_held(path: Path) -> None:
    for profile in load_profile_file(path):
        device = device_of(profile)
        async with on_tcp({UNIT: device}) as port:
            compared: set[str] = set()
            for turn in range(TURNS):
                compared |= await compare(f"tcp://127.0.0.1:{port}", profile, device, turn)
        assert compared == {point.metric for point in profile.points}, profile.id


RTU_SAMPLE = [path for path in FILES if "modbus-rtu" in path.read_text()][::6]


@pytest.mark.parametrize("path", RTU_SAMPLE, ids=family_of)
async def test_a_sample_reads_the_same_as_rtu_frames(path: Path) -> None:
    profile = load_profile_file(path)[-1]
    device = device_of(profile)
    async with on_tcp({UNIT: device}, is_rtu=True) as port:
        for turn in range(2):
            await compare(f"rtu+tcp://127.0.0.1:{port}", profile, device, turn)


async def test_a_serial_line_reads_the_same() -> None:
    (profile, *_) = load_profile_file(next(path for path in FILES if family_of(path) == "abb/a-b-series"))
    device = device_of(profile)
    async with pty_pair() as pair, on_terminal({UNIT: device}, pair.b):
        for turn in range(2):
            await compare(pair.a, profile, device, turn)


def profile_with(point: Point, limits: Limits | None = None) -> Profile:
    return Profile(
        id="acme/x", type="meter", brand="Acme", device_class="any", series="X", model="X",
        protocols=("modbus-tcp",), source="made up for this test", points=(point,), limits=limits or Limits(),
    )  # fmt: skip


ORDERS: tuple[Order, ...] = ("big", "word-swapped", "byte-swapped", "little")
TYPES: tuple[Type, ...] = ("u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", TYPES)
async def test_every_type_in_every_word_order(kind: Type, order: Order) -> None:
    point = Point(metric="v1", function=3, address=9, type=kind, order=order, invalid=(0x1234,))
    profile = profile_with(point)
    device = device_of(profile)
    async with on_tcp({UNIT: device}) as port:
        for turn in range(12):
            await compare(f"tcp://127.0.0.1:{port}", profile, device, turn)


@pytest.mark.parametrize("word", [*range(-12, 13), -0x8000, 0x7FFF])
async def test_every_scale_factor_or_unknown(word: int) -> None:
    point = Point(metric="p", function=3, address=5, type="s16", scale_register=8, invalid=(0x8000,))
    device = StrictDevice(Limits(), {(3, 5): 0x10000 - 12345, (3, 8): word & 0xFFFF})
    async with on_tcp({UNIT: device}) as port:
        values = await read(f"tcp://127.0.0.1:{port}", profile_with(point))
    assert values == {"p": pytest.approx(-12345 * 10.0**word, rel=1e-15) if -10 <= word <= 10 else None}


async def test_a_plan_that_forgets_the_gap_is_noticed() -> None:
    """The check of the check: without its limits the planner reads across what must not be touched."""
    near = Point(metric="v1", function=3, address=0, type="u16")
    far = Point(metric="v2", function=3, address=4, type="u16")
    strict = Limits(unreadable=((2, 2),), barriers=(3,), max_block=4)
    heedless = profile_with(near).model_copy(update={"points": (near, far)})
    device = StrictDevice(strict, {(3, 0): 2, (3, 4): 3})
    async with on_tcp({UNIT: device}) as port:
        values = await read(f"tcp://127.0.0.1:{port}", heedless)
        assert device.faults == ["5 registers from 0: more than 4"]
        assert values == {"v1": 2, "v2": 3}
        device.faults.clear()
        assert await read(f"tcp://127.0.0.1:{port}", heedless.model_copy(update={"limits": strict})) == values
        assert device.faults == []


async def test_a_meter_mounted_the_other_way_round_reads_with_the_other_sign() -> None:
    """Powers and factors change sign, energies change places; what has no direction stays."""
    (profile, *_) = load_profile_file(
        next(path for path in FILES if family_of(path) == "carlo-gavazzi/em300")
    )
    held = {0: 2301, 2: 2302, 18: -5000, 40: -7000, 49: -990, 52: 1234, 78: 567}
    expected = {"v1": 230.1, "v2": 230.2, "p1": 500, "p": 700, "pf": 0.99, "e_imp": 56.7, "e_exp": 123.4}
    device = StrictDevice(profile.limits, {(4, at): 0 for at in range(0x600)}, filling=0)
    for address, number in held.items():
        kind, length = ("s16", 1) if address == 49 else ("s32", 2)
        device.put(Slot(4, address, kind, "word-swapped", length), number % (1 << 16 * length))
    config = DeviceConfig(
        id="m", host="127.0.0.1", model=profile.id, unit=UNIT, poll_s=0.1, direction="reversed"
    )
    async with (
        on_tcp({UNIT: device}) as port,
        running(TcpHost("127.0.0.1", port), config, is_modbus_tcp=True) as (_, noted),
    ):
        await until(lambda: noted.count("m") > 0, deadline_s=5, what="a reading")
    values = noted.readings["m"][0][1]
    assert {metric: values[metric] for metric in expected} == expected
    assert device.faults == []
