"""Modbus TCP by bus-reader as it runs, a process on a real NATS server, against a bare loop.

`python -m tests.bench.tcp_service [--hosts 50] [--units 8] [--turnaround-ms 5] [--seconds 15]`. Hosts in a process of
their own answer every read with zeros after their turnaround, and count. The units of each are polled at the shortest
interval, which is more than it can give, so that it never rests; the readings go through checks, NATS and a synced
disk. The bare loops then ask the same hosts the same reads with pymodbus' framing, one after the other, and do nothing
with the answers. One host more takes connections and never answers.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from ccm_contracts.config.field import Device
from tests.bench.tcp_ends import HOST, Asked, Bare, Hosts, answering
from tests.support.bus import bus_as
from tests.support.field import reader_process
from tests.support.nats import nats_server

MODEL: Final = "sungrow/sh-t"
POLL_S: Final = 0.1
"""The shortest that a configuration may have."""
WARM_UP_S: Final = 5.0
ROUNDS: Final = 3

READS: Final = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}


async def counted(hosts: Hosts, seconds: float) -> list[float]:
    """Reads a second of each host."""
    before, began = hosts.seen(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took_s = hosts.seen(), time.monotonic() - began
    return [(now[0] - then[0]) / took_s for then, now in zip(before, after, strict=True)]


async def by_gateway(hosts: Hosts, units: int, seconds: float) -> list[float]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with nats_server(directory) as nats, bus_as(nats, "api") as bus:
            devices = [
                Device(id=f"d{port}-{unit}", host=HOST, tcp_port=port, model=MODEL, unit=unit, poll_s=POLL_S)
                for port in (*hosts.ports, hosts.silent)
                for unit in range(1, units + 1)
            ]
            await bus.write_config("devices", devices, seal=lambda text: text)
            async with reader_process(nats, directory):
                await asyncio.sleep(WARM_UP_S)
                return await counted(hosts, seconds)


async def by_bare_loops(hosts: Hosts, asked: list[list[Asked]], seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Bare, HOST, port))[1] for port in hosts.ports]

    async def ask(client: Bare, reads: list[Asked]) -> None:
        number = 0
        while True:
            unit, function, address, count = reads[number % len(reads)]
            request = READS[function](dev_id=unit, address=address, count=count)
            await client.read(request, number % 0xFFFF + 1)
            number += 1

    tasks = [asyncio.create_task(ask(*each)) for each in zip(clients, asked, strict=True)]
    try:
        return await counted(hosts, seconds)
    finally:
        for task in tasks:
            task.cancel()
        for client in clients:
            client.link.close()


def measure(count: int, units: int, turnaround_s: float, seconds: float) -> dict[str, Any]:
    """Each for so many seconds in all; they take turns."""
    with answering(count, turnaround_s, is_still=True) as hosts:
        gateway, bare = [0.0] * count, [0.0] * count
        for _ in range(ROUNDS):
            found = asyncio.run(by_gateway(hosts, units, seconds / ROUNDS))
            asked = [reads for _, reads in hosts.seen()]
            if not all(asked):
                sys.exit("a host was never asked")
            gateway = [sum(each) for each in zip(gateway, found, strict=True)]
            found = asyncio.run(by_bare_loops(hosts, asked, seconds / ROUNDS))
            bare = [sum(each) for each in zip(bare, found, strict=True)]
    return {
        "hosts": count,
        "units": units,
        "turnaround_ms": turnaround_s * 1000,
        "gateway_per_s": round(sum(gateway) / ROUNDS),
        "bare_per_s": round(sum(bare) / ROUNDS),
        "ratio": round(sum(gateway) / sum(bare), 3),
        "slowest_host": round(min(mine / its for mine, its in zip(gateway, bare, strict=True)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--turnaround-ms", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    figures = measure(options.hosts, options.units, options.turnaround_ms / 1000, options.seconds)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
