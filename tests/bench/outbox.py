"""Memory of uplink with an outbox of a million messages: before, full, and while it drains to a broker.

    .venv/bin/python -m tests.bench.outbox [messages]

Prints resident memory (MB) and the rate. Fails when the outbox costs more than `GROWTH_MB`.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import nats
import psutil
from nats.js import JetStreamContext

from ccm_contracts.config.services import Historic, Mqtt
from ccm_kit.bus import Bus
from tests.integration.uplink.site import (
    GATEWAY,
    Uplink,
    configure,
    link_state,
    on_bus,
    reading,
    refused,
    uplink_process,
)
from tests.support.mosquitto import BrokerOptions, Mosquitto
from tests.support.nats import nats_server
from tests.support.ports import free_port
from tests.support.wait import until

AT_ONCE: Final = 512
GROWTH_MB: Final = 12.0
DRAINED_S: Final = 60.0
"""How long the drain is watched; a million messages need longer."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _resident_mb(uplink: Uplink) -> float:
    return float(psutil.Process(uplink.pid).memory_info().rss) / 1e6


async def _fill(url: str, count: int) -> None:
    """`count` readings of ten devices, `AT_ONCE` on their way."""
    client = await nats.connect(url)
    stream: JetStreamContext = client.jetstream(timeout=30)
    room = asyncio.Semaphore(AT_ONCE)

    async def put(number: int) -> None:
        device = f"d{number % 10}"
        message = reading(number // 10, device, p1=1.5, p2=2.5, p3=3.5, v1=230.1, v2=229.9, v3=231.0)
        try:
            await stream.publish(f"ccm.{GATEWAY}.telemetry.{device}", message.model_dump_json().encode())
        finally:
            room.release()

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await room.acquire()
            tasks.create_task(put(number))
    await client.close()


async def _waiting(api: Bus) -> int:
    state = await link_state(api, "mqtt")
    return state.pending if state is not None else -1


async def _drain(api: Bus, uplink: Uplink, count: int) -> tuple[float, float]:
    """Highest resident memory (MB) and messages a second."""
    highest, started = 0.0, time.monotonic()
    while time.monotonic() - started < DRAINED_S:
        highest = max(highest, _resident_mb(uplink))
        if await _waiting(api) == 0:
            break
        await asyncio.sleep(0.5)
    left = await _waiting(api)
    return highest, (count - left) / (time.monotonic() - started)


async def _measure(directory: Path, count: int) -> bool:
    port = free_port()
    broker = Mosquitto(directory / "broker", BrokerOptions(extra="max_queued_messages 0"), port)
    async with (
        nats_server(directory / "nats", config="max_payload: 1MB") as server,
        on_bus(server, "api") as api,
        uplink_process(server, directory / "uplink") as uplink,
    ):
        await configure(api, uplink, "historic", Historic(enabled=False))
        await configure(api, uplink, "mqtt", Mqtt(enabled=True, port=port, latency_s=0))
        await refused(api, "mqtt")
        await asyncio.sleep(10.0)
        before = _resident_mb(uplink)
        started = time.monotonic()
        await _fill(server.url, count)
        say(f"{count} messages published at {count / (time.monotonic() - started):,.0f}/s")

        async def is_full() -> bool:
            return await _waiting(api) >= count

        await until(is_full, deadline_s=30, what="a full outbox")
        await asyncio.sleep(10.0)
        full = _resident_mb(uplink)
        await broker.start()
        draining, rate = await _drain(api, uplink, count)
        await broker.stop()
    say(
        f"resident MB: empty {before:.1f}, full {full:.1f}, draining at most {draining:.1f}; {rate:,.0f} messages/s"
    )
    return max(full, draining) - before < GROWTH_MB


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        is_flat = asyncio.run(_measure(Path(directory), count))
    raise SystemExit(0 if is_flat else f"memory grew by more than {GROWTH_MB} MB")


if __name__ == "__main__":
    main()
