"""Measures Modbus TCP with many hosts at once: the line engine against a bare loop with the same pymodbus framing.

`python -m tests.bench.tcp [--hosts 50] [--seconds 3] [--rounds 3] [--turnaround-ms 0]`. The hosts are ports of another
process that answers each read with the same registers after its turnaround. Three ways take turns and the middle rate
of each counts: the bare loop (encode, send, wait, decode; no time-out, no check), `Line.exchange`, and the whole line
owner: scheduled, decoded into ten values, checked, and each read made a reading and its JSON (not sent: NATS is not
measured). One host more hangs in all of them. Hosts that hang, and several requests at once: `tcp_hosts.py`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, cast

from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Request, Tcp
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Limits, Point, Profile
from ccm_bus_reader.reports import BusReports
from ccm_bus_reader.transport import TcpHost, Transport
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Severity
from ccm_contracts.state import CountersState, DeviceState, LineState
from ccm_kit.bus import Bus
from ccm_kit.clock import SystemClock
from tests.bench.tcp_ends import HOST, Bare, answering

Count = tuple[int, float]
"""Transactions, and the client's CPU time for them, s."""

WARM_UP_S = 2.0
"""Until the line owners have planned their reads."""
COUNT = 10
"""Registers of each read."""
NEVER_IDLE_S = 1e-6
"""Poll interval of the line owner's devices; shorter than the configuration allows."""


async def bare(ports: list[int], seconds: float) -> Count:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Bare, HOST, port))[1] for port in ports]
    cpu_s, end = time.process_time(), time.monotonic() + seconds

    async def ask(client: Bare) -> int:
        done = 0
        while time.monotonic() < end:
            request = ReadHoldingRegistersRequest(dev_id=1, address=0, count=COUNT)
            await client.read(request, done % 0xFFFF + 1)
            done += 1
        return done

    counts = await asyncio.gather(*(ask(client) for client in clients[:-1]))
    cpu_s = time.process_time() - cpu_s
    for client in clients:
        client.link.close()
    return sum(counts), cpu_s


async def exchanges(ports: list[int], seconds: float) -> Count:
    clock = SystemClock()
    request = Request(1, 3, 0, COUNT)
    cpu_s, end = time.process_time(), time.monotonic() + seconds

    async def ask(port: int) -> int:
        transport = Transport(TcpHost(HOST, port), clock)
        await transport.open()
        line = Line(transport, Tcp(), clock, is_numbered=True)
        done = 0
        while time.monotonic() < end:
            done += isinstance(await line.exchange(request, timeout_s=1.0), Answer)
        await transport.close()
        return done

    counts = await asyncio.gather(*(ask(port) for port in ports))
    return sum(counts), time.process_time() - cpu_s


class NoBus:
    """Takes what is to be sent, and forgets it."""

    gateway = "CCM-1"

    @property
    def outbox(self) -> "NoBus":
        return self

    def put(self, subject: str, data: bytes, msg_id: str | None = None) -> None:
        """Not sent."""


class Silence(BusReports):
    """Readings as far as their JSON."""

    def __init__(self) -> None:
        super().__init__(cast("Bus", NoBus()))

    def device(self, state: DeviceState) -> None:
        """Not counted."""

    def counters(self, state: CountersState) -> None:
        """Not counted."""

    def line(self, state: LineState) -> None:
        """Not counted."""

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        """Not counted."""


def profile() -> Profile:
    """Ten values in one read."""
    metrics = ("v1", "v2", "v3", "i1", "i2", "i3", "p1", "p2", "p3", "p")
    points = tuple(
        Point(metric=metric, function=3, address=at, type="s16", scale=Decimal("0.1"))
        for at, metric in enumerate(metrics)
    )
    return Profile(
        id="bench/tcp",
        type="meter",
        brand="Bench",
        device_class="Meter",
        series="TCP",
        model="TCP",
        protocols=("modbus-tcp",),
        source="made for this benchmark",
        points=points,
        limits=Limits(max_block=COUNT),
    )


async def owners(ports: list[int], seconds: float) -> Count:
    clock, reports, model = SystemClock(), Silence(), profile()
    pollers = [Poller(str(port), TcpHost(HOST, port), reports, clock, is_modbus_tcp=True) for port in ports]
    for poller in pollers:
        config = DeviceConfig(id=f"d-{poller.id}", host=HOST, model=model.id, unit=1)
        config = config.model_copy(update={"poll_s": NEVER_IDLE_S})
        poller.add(Device(config, model, poller.cost))
    tasks = [asyncio.create_task(poller.run()) for poller in pollers]
    await asyncio.sleep(WARM_UP_S)
    before = sum(answers(poller) for poller in pollers)
    cpu_s, started = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    done, took_s = sum(answers(poller) for poller in pollers) - before, time.monotonic() - started
    cpu_s = time.process_time() - cpu_s
    for poller in pollers:
        poller.stop()
    await asyncio.gather(*tasks)
    return round(done * seconds / took_s), cpu_s * seconds / took_s


def answers(poller: Poller) -> int:
    return sum(each.answers for each in poller.line.counters.values())


WAYS: dict[str, Callable[[list[int], float], Awaitable[Count]]] = {
    "bare": bare,
    "exchange": exchanges,
    "owner": owners,
}


def measure(hosts: int, seconds: float, rounds: int, turnaround_s: float) -> dict[str, Any]:
    """Transactions per second of each way, and their ratios to the bare loop."""
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu_us: dict[str, list[float]] = {name: [] for name in WAYS}
    with answering(hosts, turnaround_s) as made:
        for _ in range(rounds):
            for name, way in WAYS.items():
                done, cpu_s = asyncio.run(_awaited(way([*made.ports, made.silent], seconds)))
                rates[name].append(done / seconds)
                cpu_us[name].append(cpu_s / done * 1e6)
    middle = {name: statistics.median(each) for name, each in rates.items()}
    return {
        "hosts": hosts,
        "turnaround_ms": turnaround_s * 1000,
        **{f"{name}_per_s": round(rate) for name, rate in middle.items()},
        **{f"{name}_cpu_us": round(statistics.median(each), 1) for name, each in cpu_us.items()},
        **{f"{name}_to_bare": round(middle[name] / middle["bare"], 3) for name in ("exchange", "owner")},
        "owner_to_bare_of_cpu": round(
            statistics.median(cpu_us["bare"]) / statistics.median(cpu_us["owner"]), 3
        ),
    }


async def _awaited(count: Awaitable[Count]) -> Count:
    return await count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turnaround-ms", type=float, default=0.0)
    options = parser.parse_args()
    figures = measure(options.hosts, options.seconds, options.rounds, options.turnaround_ms / 1000)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
