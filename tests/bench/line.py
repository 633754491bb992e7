"""Measures how much of a 9600 baud line is in use: 32 SDM630 polled flat out against the theoretical minimum.

`python -m tests.bench.line [--seconds 30] [--units 32] [--dead 2] [--settle 8]`. The line is the simulated site's,
paced as 9600 8N1; minimum and silence are its own counts, not the reader's. With `--dead` a second run follows in which
so many further units are silent, after the first minute, and the ratio of the two cycles.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.plan import wire_time
from ccm_bus_reader.point import Poll
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import SerialPort
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Severity, Value
from ccm_contracts.state import CountersState, DeviceState, LineState
from ccm_kit.clock import SystemClock
from ccm_sim import Site, parse_spec

FIRST_UNIT = 10
TURNAROUND_S = 0.005
FIRST_MINUTE_S = 60.0
FAST: frozenset[Poll] = frozenset({"fast"})


class Tally:
    """When each device was read."""

    def __init__(self) -> None:
        self.moments: dict[str, list[float]] = {}

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        self.moments.setdefault(device, []).append(ts.timestamp())

    def cycle_s(self) -> float:
        """Mean time between two readings of a device."""
        spans = [(each[-1] - each[0], len(each) - 1) for each in self.moments.values() if len(each) > 1]
        return sum(span for span, _ in spans) / sum(count for _, count in spans)

    def device(self, state: DeviceState) -> None:
        """Not counted."""

    def counters(self, state: CountersState) -> None:
        """Not counted."""

    def line(self, state: LineState) -> None:
        """Not counted."""

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        """Not counted."""


async def measure(*, units: int, dead: int, seconds: float, settle_s: float) -> dict[str, Any]:
    """Figures of `units` that answer and `dead` that do not, after `settle_s` of warming up."""
    devices = {
        "u": {
            "kind": "sdm630",
            "unit": FIRST_UNIT,
            "count": units + dead,
            "turnaround_ms": TURNAROUND_S * 1000,
        }
    }
    spec = parse_spec({"lines": {"bench": {"devices": devices}}})
    profile = load_catalog().find("eastron/sdm630")
    clock, tally = SystemClock(), Tally()
    with tempfile.TemporaryDirectory() as directory, Site(spec, Path(directory)) as site:
        for number in range(dead):
            site.set_faults(f"u-{units + dead - number}", dead=True)
        poller = Poller("bench", SerialPort(str(site.line_path("bench"))), tally, clock, is_modbus_tcp=False)
        for number in range(1, units + dead + 1):
            config = DeviceConfig(
                id=f"u-{number}", port="bench", model=profile.id, unit=FIRST_UNIT + number - 1, poll_s=0.1
            )
            poller.add(Device(config, profile, poller.cost))
        task = asyncio.create_task(poller.run())
        await asyncio.sleep(settle_s)
        site.reset_stats()
        tally.moments.clear()
        cpu, started = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        window_s, cpu_s = time.monotonic() - started, time.process_time() - cpu
        line = site.stats()["lines"]["bench"]
        counts = {device: len(each) for device, each in tally.moments.items()}
        cycle_s = tally.cycle_s()
        poller.stop()
        await task
        sample = next(iter(poller.devices.values()))
    cost = poller.cost
    plan_s = sum(wire_time(block, cost) - cost.turnaround_s + TURNAROUND_S for block in sample.blocks(FAST))
    in_use_s = line["wire_busy_s"] + line["replies"] * poller.line.silence_s
    return {
        "units": units,
        "dead": dead,
        "window_s": round(window_s, 2),
        "blocks_per_unit": [[b.function, b.address, b.count] for b in sample.blocks(FAST)],
        "minimum_cycle_s_of_the_fast_reads": round(plan_s * units, 4),
        "cycle_s_with_a_tenth_of_the_slow_reads": round(cycle_s, 4),
        "wire_in_use": round(in_use_s / window_s, 4),
        "silence_violations": line["silence_violations"],
        "min_silence_ms": round(1000 * (line["min_silence_s"] or 0), 3),
        "required_silence_ms": round(1000 * poller.line.silence_s, 3),
        "collisions": line["collisions"],
        "readings": sum(counts.values()),
        "fewest_and_most_per_unit": [min(counts.values(), default=0), max(counts.values(), default=0)],
        "cpu_share_with_simulator": round(cpu_s / window_s, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=8.0)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--dead", type=int, default=0)
    options = parser.parse_args()
    alive = options.units - options.dead
    figures = asyncio.run(measure(units=alive, dead=0, seconds=options.seconds, settle_s=options.settle))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    if options.dead:
        seconds = max(options.seconds, FIRST_MINUTE_S)  # each silent unit is asked once in a minute
        worse = asyncio.run(measure(units=alive, dead=options.dead, seconds=seconds, settle_s=FIRST_MINUTE_S))
        ratio = (
            worse["cycle_s_with_a_tenth_of_the_slow_reads"]
            / figures["cycle_s_with_a_tenth_of_the_slow_reads"]
        )
        worse["cycle_with_dead_units_to_cycle_without"] = round(ratio, 4)
        sys.stdout.write(json.dumps(worse, indent=1) + "\n")


if __name__ == "__main__":
    main()
