"""Many faults in little time on a serial line and on a Modbus TCP connection, and what they leave behind."""

import asyncio
import gc
import os
import random
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import SerialPort, TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.clock import SystemClock
from ccm_sim import Site, parse_spec
from tests.support.lines import Noted, running
from tests.support.wait import LEAST_S, until

BAUDRATE: Final = 115_200
UNITS: Final = 4
NO_FAULTS: Final[dict[str, Any]] = {
    "dead": False,
    "late_s": 0.0,
    "late_probability": 1.0,
    "corrupt": 0.0,
    "drop": 0.0,
    "wrong_unit": 0.0,
}
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"dead": True},
    {"late_s": 0.3, "late_probability": 0.5},
    {"late_s": 1.2, "late_probability": 0.2},
    {"corrupt": 0.5},
    {"drop": 0.5},
    {"wrong_unit": 0.5},
)
EPISODE_S: Final = 0.15
STUCK_S: Final = 15.0
"""A device without faults that is not read for so long is stuck: more than a late reply (10 s) can hold it up."""


@dataclass(slots=True)
class Left:
    """What was done, and what had grown from the first third to the end."""

    episodes: int = 0
    reopenings: int = 0
    readings: int = 0
    answers: int = 0
    timeouts: int = 0
    heap_grown_kib: float = 0.0
    rss_grown_kib: float = 0.0
    files_grown: int = 0
    tasks_grown: int = 0

    def shown(self) -> dict[str, Any]:
        return asdict(self)


class Counting(Noted):
    """Keeps only the last of each, so that the recorder itself does not grow."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def reading(self, device: str, ts: Any, values: Any) -> None:
        self.total += 1
        self.readings[device] = [(ts, values)]

    def line(self, state: Any) -> None:
        self.lines[:] = [state]

    def event(self, kind: str, severity: Any, text: str, **data: Any) -> None:
        self.events[:] = [(kind, text)]


@asynccontextmanager
async def dropping_proxy(target: tuple[str, int]) -> AsyncIterator[tuple[int, Any]]:
    """A port that leads to `target`, and a function that cuts every connection through it."""
    writers: set[asyncio.StreamWriter] = set()

    async def pump(hearer: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while data := await hearer.read(4096):
                writer.write(data)
        except OSError:
            pass
        finally:
            writers.discard(writer)
            writer.close()

    async def serve(hearer: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_hearer, far_writer = await asyncio.open_connection(*target)
        await asyncio.gather(pump(hearer, far_writer), pump(far_hearer, writer))

    def cut() -> None:
        for writer in list(writers):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1]), cut
        cut()


async def soak(seconds: float, directory: Path, *, seed: int = 1) -> Left:
    """Faults for so long. AssertionError when a line is stuck: a healthy device is not read any more."""
    dice = random.Random(seed)
    devices = {"u": {"kind": "ccm4", "unit": 10, "count": UNITS, "turnaround_ms": 2}}
    spec = parse_spec(
        {
            "lines": {"x": {"baudrate": BAUDRATE, "devices": devices}},
            "tcp": {"devices": {"t": {"kind": "sun2000", "unit": 1}}},
        }
    )
    async with Site(spec, directory) as site:
        assert site.tcp_address is not None
        async with dropping_proxy(site.tcp_address) as (port, cut):
            serial = SerialPort(str(site.line_path("x")), BAUDRATE)
            configs = [
                DeviceConfig(id=f"u-{n + 1}", port="x", model="energyccm/ccm4", unit=10 + n, poll_s=0.1)
                for n in range(UNITS)
            ]
            noted = Counting()
            async with running(serial, *configs, noted=noted) as (poller, _), owner(port, noted):
                return await _episodes(seconds, site, poller, noted, cut, dice)


@asynccontextmanager
async def owner(port: int, noted: Noted) -> AsyncIterator[None]:
    poller = Poller("t", TcpHost("127.0.0.1", port), noted, SystemClock(), is_modbus_tcp=True)
    config = DeviceConfig(id="t", host="127.0.0.1", model="huawei/sun2000", unit=1, poll_s=0.1)
    poller.add(Device(config, load_catalog().find(config.model), poller.cost))
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        poller.stop()
        await asyncio.wait_for(task, LEAST_S)


async def _episodes(
    seconds: float, site: Site, poller: Poller, noted: Counting, cut: Any, dice: random.Random
) -> Left:
    left = Left()
    before: tuple[float, ...] | None = None
    await _all_read(noted, [*site.devices])
    started = time.monotonic()
    tracemalloc.start()
    while (elapsed_s := time.monotonic() - started) < seconds:
        if before is None and elapsed_s > seconds / 3:
            before = await _settled(site, noted)
        faulty = dice.choice([*site.devices])
        site.set_faults(faulty, **NO_FAULTS | dice.choice(FAULTS))
        if left.episodes % 5 == 0:
            cut()
            async with poller.exclusive("an episode") as line:
                await line.reconfigure(9600, "8N1")  # closes the port, opens it, and so once more at the end
            left.reopenings += 1
        await asyncio.sleep(EPISODE_S)
        site.set_faults(faulty, **NO_FAULTS)
        left.episodes += 1
        if left.episodes % 100 == 0:
            await _all_read(noted, [*site.devices])
    after = await _settled(site, noted)
    assert before is not None
    heap, rss, files, tasks = (late - early for late, early in zip(after, before, strict=True))
    tracemalloc.stop()
    left.readings = noted.total
    left.answers = sum(each.answers for each in poller.line.counters.values())
    left.timeouts = sum(each.timeouts for each in poller.line.counters.values())
    left.heap_grown_kib, left.rss_grown_kib = round(heap / 1024, 1), round(rss / 1024, 1)
    left.files_grown, left.tasks_grown = int(files), int(tasks)
    return left


async def _all_read(noted: Counting, devices: list[str]) -> None:
    for device in devices:
        last = noted.readings.get(device)
        await until(
            lambda device=device, last=last: noted.readings.get(device) != last,  # type: ignore[misc]
            deadline_s=STUCK_S,
            what=f"a reading of {device}, which has no fault any more",
        )


async def _settled(site: Site, noted: Counting) -> tuple[float, ...]:
    """Heap and resident bytes, open files, tasks, once every device is read again."""
    await _all_read(noted, [*site.devices])
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])  # noqa: ASYNC240 - of the kernel's memory
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    heap = tracemalloc.get_traced_memory()[0]
    return heap, pages * os.sysconf("SC_PAGE_SIZE"), files, len(asyncio.all_tasks())
