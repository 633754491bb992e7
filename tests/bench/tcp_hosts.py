"""Measures Modbus TCP hosts of several units, and hosts that hang, on the whole line owner, in one run each.

`python -m tests.bench.tcp_hosts in-flight` polls one host of 16 units, 5 ms turnaround, with 1, 4 and 8 requests in
flight. `python -m tests.bench.tcp_hosts hanging` polls 50 hosts alone, then with one and five hosts more that take the
connection and never answer, and with one and five that do not even take it; all ways take turns, and each way's middle
ratio to the run before it without any counts. `[--seconds 4] [--rounds 3] [--hosts 50] [--turnaround-ms 20]`.
"""

import argparse
import asyncio
import json
import socket
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ccm_bus_reader.device import Device
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.clock import SystemClock
from tests.bench.tcp import NEVER_IDLE_S, Silence, answers, profile
from tests.bench.tcp_ends import HOST, answering

UNITS = 16
MOST_IN_FLIGHT = (1, 4, 8)
HANGING = (1, 5)
FIRST_PROBES_S = 4.0
"""Until a host that hangs has been found out."""


async def rate(ports: Sequence[int], hanging: Sequence[int], units: int, most: int, seconds: float) -> float:
    """Answers per second of `ports`, polled flat out."""
    clock, reports, model = SystemClock(), Silence(), profile()
    pollers = [
        Poller(str(port), TcpHost(HOST, port), reports, clock, is_modbus_tcp=True)
        for port in (*ports, *hanging)
    ]
    for poller in pollers:
        for unit in range(1, units + 1):
            config = DeviceConfig(id=f"d-{unit}", host=HOST, model=model.id, unit=unit, max_in_flight=most)
            config = config.model_copy(update={"poll_s": NEVER_IDLE_S})
            poller.add(Device(config, model, poller.cost))
    tasks = [asyncio.create_task(poller.run()) for poller in pollers]
    await asyncio.sleep(FIRST_PROBES_S)
    good = pollers[: len(ports)]
    before, started = sum(answers(poller) for poller in good), clock.monotonic()
    await asyncio.sleep(seconds)
    done = (sum(answers(poller) for poller in good) - before) / (clock.monotonic() - started)
    for poller in pollers:
        poller.stop()
    await asyncio.gather(*tasks)
    return done


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue is full, so that a further connection gets no answer at all."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def in_flight(seconds: float, rounds: int, turnaround_s: float) -> dict[str, Any]:
    rates: dict[int, list[float]] = {most: [] for most in MOST_IN_FLIGHT}
    with answering(1, turnaround_s) as made:
        for _ in range(rounds):
            for most, each in rates.items():
                each.append(asyncio.run(rate(made.ports, (), UNITS, most, seconds)))
    middle = {most: statistics.median(each) for most, each in rates.items()}
    return {
        "turnaround_ms": turnaround_s * 1000,
        **{f"{most}_in_flight_per_s": round(each, 1) for most, each in middle.items()},
        **{f"{most}_to_1": round(each / middle[1], 2) for most, each in middle.items()},
    }


def hanging(seconds: float, rounds: int, hosts: int, turnaround_s: float) -> dict[str, Any]:
    ratios: dict[str, list[float]] = {}
    alone: list[float] = []
    with ExitStack() as stack:
        holes = [stack.enter_context(black_hole()) for _ in range(max(HANGING))]
        made = stack.enter_context(answering(hosts, turnaround_s))
        ways = {f"{count}_silent": [made.silent] * count for count in HANGING}
        ways |= {f"{count}_unreachable": holes[:count] for count in HANGING}
        for _ in range(rounds):
            for name, bad in ways.items():
                without = asyncio.run(rate(made.ports, (), 1, 1, seconds))
                alone.append(without)
                ratios.setdefault(name, []).append(
                    asyncio.run(rate(made.ports, bad, 1, 1, seconds)) / without
                )
    return {
        "hosts": hosts,
        "turnaround_ms": turnaround_s * 1000,
        "alone_per_s": round(statistics.median(alone), 1),
        **{f"with_{name}": round(statistics.median(each), 3) for name, each in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("in-flight", "hanging"))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--turnaround-ms", type=float)
    options = parser.parse_args()
    if options.what == "in-flight":
        figures = in_flight(options.seconds, options.rounds, (options.turnaround_ms or 5.0) / 1000)
    else:
        figures = hanging(
            options.seconds, options.rounds, options.hosts, (options.turnaround_ms or 20.0) / 1000
        )
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
