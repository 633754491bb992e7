"""The day: sets it up, lets it pass, and says what it was like."""

import asyncio
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ccm_bus_reader.reader import Reader
from ccm_sim.wire import LineStats
from tests.support.day.cable import cable
from tests.support.day.growth import Held, allocators, grown, held, objects
from tests.support.day.mishaps import ON_A_CABLE, ON_A_NETWORK, Mishaps
from tests.support.day.network import network
from tests.support.day.witness import Witness
from tests.support.virtual_time import VirtualClock, VirtualLoop, run_virtually

HOUR_S: Final = 3600.0
CALM_S: Final = 600.0
"""Without mishaps at the end: by then everybody must be back."""
LOOK_S: Final = 60.0
MOST_GROWN: Final = {"heap_bytes": 512 << 10, "rss_bytes": 6 << 20, "files": 0, "tasks": 0}
MOST_BLOCKS: Final = 0.02
"""From there to the end, blocks as a part of all: caches of the last plans, late replies, time-outs under way.
Resident memory keeps the arenas of each peak between two hours, of 1 MiB each: what is really held are the blocks."""
_LONGEST: Final = (
    "longest_gap",
    "longest_beyond",
    "longest_clean_beyond",
    "longest_return",
    "longest_clean_return",
    "longest_lack",
)
WARM_HOURS: Final = 4
"""By then every ring, cache and window has been full: what grows from there on is a leak."""


@dataclass(slots=True)
class Day:
    """What it was like."""

    hours: float
    seed: int
    scenery: str
    real_s: float = 0.0
    mishaps: dict[str, int] = field(default_factory=dict)
    spoiled: dict[str, int] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    slowest_command_s: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    openings: int = 0
    requests: int = 0
    reads: int = 0
    readings: int = 0
    values: int = 0
    unknown: int = 0
    held_values: int = 0
    dead_requests: int = 0
    utilisation: float = 0.0
    collisions: int = 0
    silence_violations: int = 0
    min_silence_ms: float = 0.0
    longest_gap: tuple[float, str] = (0.0, "")
    longest_beyond: tuple[float, str] = (0.0, "")
    longest_clean_beyond: tuple[float, str] = (0.0, "")
    longest_return: tuple[float, str] = (0.0, "")
    longest_clean_return: tuple[float, str] = (0.0, "")
    longest_lack: tuple[float, str] = (0.0, "")
    held: dict[int, Held] = field(default_factory=dict)
    grown: list[tuple[str, int]] = field(default_factory=list)
    allocators: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        return asdict(self)


SCENERIES: Final = {"cable": (cable, ON_A_CABLE), "network": (network, ON_A_NETWORK)}


def a_day(
    hours: float,
    seed: int,
    scenery: str = "cable",
    *,
    tell: Callable[[str], None] = lambda _: None,
    trace: bool = False,
) -> Day:
    """So many simulated hours of a scenery. `trace`: with tracemalloc, which takes twice the time."""
    random.seed(seed)
    return run_virtually(lambda loop: _day(loop, Day(hours, seed, scenery), tell, trace))


async def _day(loop: VirtualLoop, day: Day, tell: Callable[[str], None], trace: bool) -> Day:
    started = time.monotonic()
    witness = Witness(loop.time)
    reader = Reader(witness, VirtualClock(loop), Path("/nonexistent"))
    stage, kinds = SCENERIES[day.scenery]
    with stage(loop, day.seed, reader, witness) as scene:
        mishaps = Mishaps(scene, kinds)
        for device in scene.devices.values():
            device.faults = scene.calm()
        await reader.apply(scene.document())
        async with asyncio.TaskGroup() as group:
            hourly = group.create_task(_hourly(day, mishaps, tell, trace), name="hourly")
            await mishaps.run(day.hours * HOUR_S - CALM_S)
            await hourly
        await reader.stop()
    _sum_up(day, mishaps)
    day.real_s = round(time.monotonic() - started, 1)
    return day


async def _hourly(day: Day, mishaps: Mishaps, tell: Callable[[str], None], trace: bool) -> None:
    loop, scene, began = asyncio.get_running_loop(), mishaps.scene, time.monotonic()
    witness = scene.witness
    before: Counter[str] = Counter()
    snapshot: tracemalloc.Snapshot | None = None
    if trace:
        tracemalloc.start()
    minutes = round(day.hours * 60)
    for minute in range(1, minutes + 1):
        await asyncio.sleep(minute * LOOK_S - loop.time())
        witness.look_at_all()
        if minute % 60 and minute != minutes:
            continue
        hour = -(-minute // 60)
        day.held[hour] = held()
        if hour == WARM_HOURS and minute % 60 == 0:
            before = objects()
            snapshot = tracemalloc.take_snapshot() if trace else None
        state = day.held[hour]
        tell(
            f"hour {hour:2}: {witness.readings} readings of {witness.requests} requests,"
            f" {mishaps.counts.total()} mishaps, {sum(witness.broken.values())} violations,"
            f" {state.blocks} blocks, {state.heap_bytes >> 10} KiB, RSS {state.rss_bytes >> 10} KiB,"
            f" {state.tasks} tasks, longest gap {witness.longest_gap[0]:.1f} s,"
            f" return {witness.longest_return[0]:.1f} s; {time.monotonic() - began:.0f} s"
        )
    if before:
        day.grown = grown(before)
    if snapshot is not None:
        day.allocators = allocators(snapshot)
        tracemalloc.stop()
    _judge_growth(day, witness)
    for wire in scene.wires if scene.hears_at_once else ():
        if wire.stats.silence_violations:
            times, shortest_s = wire.stats.silence_violations, wire.stats.min_silence_s
            witness.violate("silence", f"{times} times, {shortest_s} s")


def _judge_growth(day: Day, witness: Witness) -> None:
    early, late = day.held.get(WARM_HOURS), day.held[max(day.held)]
    if early is None:
        return
    for name, most in (MOST_GROWN | {"blocks": round(MOST_BLOCKS * early.blocks)}).items():
        more = getattr(late, name) - getattr(early, name)
        if more > most:
            witness.violate("growth", f"{more} {name} more than after {WARM_HOURS} h")


def _sum_up(day: Day, mishaps: Mishaps) -> None:
    scene, witness = mishaps.scene, mishaps.scene.witness
    day.mishaps = dict(mishaps.counts.most_common())
    day.commands = dict(scene.commands.most_common())
    day.slowest_command_s = round(scene.slowest_command_s, 3)
    day.spoiled = dict(sum((scene.spoiled(device) for device in scene.devices), Counter()).most_common())
    day.events = dict(witness.events.most_common())
    day.openings = scene.openings
    day.reads = sum(device.reads for device in scene.devices.values())
    day.requests, day.readings = witness.requests, witness.readings
    day.values, day.unknown, day.dead_requests = witness.values, witness.unknown, witness.dead_requests
    day.held_values = witness.held_values
    _sum_up_wires(day, [wire.stats for wire in scene.wires])
    for name in _LONGEST:
        seconds, who = getattr(witness, name)
        setattr(day, name, (round(seconds, 1), who))
    day.broken, day.violations = dict(witness.broken), witness.violations


def _sum_up_wires(day: Day, wires: Sequence[LineStats]) -> None:
    day.utilisation = round(sum(each.wire_busy_s for each in wires) / (day.hours * HOUR_S * len(wires)), 3)
    day.collisions = sum(each.collisions for each in wires)
    day.silence_violations = sum(each.silence_violations for each in wires)
    day.min_silence_ms = round(1000 * min((each.min_silence_s or 0.0) for each in wires), 3)
