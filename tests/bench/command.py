"""Measures a command on a 9600 baud line polled flat out: a write with its read-back, against its own wire time.

`python -m tests.bench.command [--commands 150] [--units 8]`. The rest of each time is the wait for the frame on the
wire; goal: the 99th percentile of that rest below 150 ms.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from ccm_bus_reader.command import Job
from ccm_bus_reader.transport import SerialPort
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_sim import Site, parse_spec
from tests.support.lines import running, sdm
from tests.support.wait import until

TURNAROUND_S: Final = 0.005
OWN_CHARS: Final = 8 + 8 + 8 + 7
"""Request and echo of function 6, request and reply of a read of one register."""
GOAL_S: Final = 0.150


async def measure(commands: int, units: int) -> dict[str, Any]:
    """Percentiles, ms, of what a command takes beyond its own frames, turnarounds and silences."""
    spec = parse_spec(
        {
            "lines": {
                "x": {
                    "devices": {
                        "target": {"kind": "ccm4", "unit": 2},
                        "u": {"kind": "sdm630", "unit": 10, "count": units},
                    }
                }
            }
        }
    )
    configs = [sdm(f"u-{number + 1}", 10 + number) for number in range(units)]
    target = DeviceConfig(id="target", port="x", model="energyccm/ccm4", unit=2, poll_s=0.1)
    waits: list[float] = []
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as directory:
        async with (
            Site(spec, Path(directory)) as site,
            running(SerialPort(str(site.line_path("x"))), target, *configs) as (poller, noted),
        ):
            await until(lambda: noted.count(f"u-{units}") >= 2, deadline_s=30, what="a full load")
            line, device = poller.line, poller.devices["target"]
            own_s = OWN_CHARS * line.char_s + 2 * (TURNAROUND_S + line.silence_s)
            for number in range(commands):
                await asyncio.sleep(dice.uniform(0.0, 0.2))
                started = time.monotonic()
                await poller.command(Job(device, device.profile.commands[0].name, number % 3))
                waits.append(time.monotonic() - started - own_s)
    cuts = statistics.quantiles(waits, n=100)
    return {
        "commands": commands,
        "own_wire_time_ms": round(own_s * 1000, 1),
        "beyond_it_p50_ms": round(cuts[49] * 1000, 1),
        "beyond_it_p99_ms": round(cuts[98] * 1000, 1),
        "beyond_it_most_ms": round(max(waits) * 1000, 1),
        "goal_p99_ms": GOAL_S * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=150)
    parser.add_argument("--units", type=int, default=8)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.commands, options.units))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
