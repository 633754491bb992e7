"""Measures uplink's MQTT throughput: from the stream to the broker's confirmation, against bare aiomqtt.

`python -m tests.bench.mqtt [--messages 20000] [--qos 1] [--history]`. Same run, same broker, same payloads, same
window, same counting subscriber; both are timed from their first to their last message at that subscriber, aiomqtt
before uplink and after it. With `--history` it also says how many of the same readings history stored meanwhile.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.services import Historic, Mqtt
from ccm_contracts.messages import Reading
from ccm_kit.bus import Bus
from ccm_kit.secrets import SecretBox
from ccm_uplink.sinks.mqtt_session import WINDOW
from tests.integration.uplink.site import Uplink, link_state, on_bus, reading
from tests.support.mosquitto import Mosquitto, mosquitto_broker
from tests.support.nats import nats_server
from tests.support.processes import Child
from tests.support.wait import until

AT_ONCE = 200
"""Readings on their way into the stream while it is filled."""


def readings(count: int) -> list[Reading]:
    """As a three-phase meter's."""
    values: dict[str, Any] = dict.fromkeys(
        ("v1", "v2", "v3", "i1", "i2", "i3", "p1", "p2", "p3", "p", "f", "e_imp"), 230.1
    )
    return [reading(number, **values) for number in range(count)]


@asynccontextmanager
async def counted(
    broker: Mosquitto, topic: str, count: int, directory: Path, at_end: Callable[[], None] = lambda: None
) -> AsyncIterator[list[float]]:
    """Seconds from the first to the last of `count` messages, in the list after the block; then calls `at_end`."""
    listening = f"\t{topic} (QoS 0)"
    before = broker.log.count(listening)
    base = ["mosquitto_sub", "-p", str(broker.port), "-q", "0", "-t", topic, "-F", "%l"]
    first = Child.spawn([*base, "-C", "1"], log=directory / f"first-{time.monotonic_ns()}.log")
    last = Child.spawn([*base, "-C", str(count)], log=directory / f"last-{time.monotonic_ns()}.log")
    # -d would make the subscriber print a line a message: the broker's log says that both listen
    await until(lambda: broker.log.count(listening) >= before + 2, deadline_s=10, what="two subscriptions")
    took: list[float] = []
    began = asyncio.create_task(_moment(first), name="first")
    ended = asyncio.create_task(_moment(last), name="last")
    ended.add_done_callback(lambda _: at_end())
    yield took
    took.append(await ended - await began)


async def _moment(child: Child) -> float:
    await child.exited(deadline_s=300)
    return time.perf_counter()


async def bare(broker: Mosquitto, payloads: Sequence[bytes], qos: int) -> None:
    """aiomqtt as its own documentation uses it, `WINDOW` publishes at once."""
    window = asyncio.Semaphore(WINDOW)
    async with aiomqtt.Client(broker.host, broker.port, max_inflight_messages=WINDOW) as client:
        client.pending_calls_threshold = 2 * WINDOW

        async def one(payload: bytes) -> None:
            async with window:
                await client.publish("/bare/telemetry/grid", payload, qos)

        async with asyncio.TaskGroup() as tasks:
            for payload in payloads:
                tasks.create_task(one(payload))


async def measure(*, messages: int, qos: int, history: bool) -> dict[str, Any]:
    sent = readings(messages)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with (
            mosquitto_broker(directory / "broker") as broker,
            nats_server(directory / "nats") as nats,
            on_bus(nats, "bus-reader") as bus,
            on_bus(nats, "api") as api,
        ):
            for at in range(0, messages, AT_ONCE):
                await asyncio.gather(
                    *(bus.publish(TELEMETRY, each, device=each.device) for each in sent[at : at + AT_ONCE])
                )
            payloads = [each.model_dump_json().encode() for each in sent]
            async with counted(broker, "/bare/#", messages, directory) as before:
                await bare(broker, payloads, qos)
            box = SecretBox(directory / "uplink" / "secret.key")
            settings = Mqtt(enabled=True, port=broker.port, prefix_sub="/site/srv", prefix_pub="/site/dev")
            wanted = settings.model_copy(update={"latency_s": 0, "qos": qos})
            await api.write_config("historic", Historic(enabled=history), seal=box.seal)
            await api.write_config("mqtt", wanted, seal=box.seal)
            uplink, stored = Uplink(nats, directory / "uplink"), list[int]()
            async with counted(
                broker,
                "/site/srv/telemetry/#",
                messages,
                directory,
                lambda: stored.append(len(uplink.stored())),
            ) as ours:
                await uplink.start()
                try:
                    await _arrived(api, messages)
                finally:
                    await uplink.stop()
            async with counted(broker, "/bare/#", messages, directory) as after:
                await bare(broker, payloads, qos)
    reference_s = (before[0] + after[0]) / 2
    return {
        "messages": messages,
        "qos": qos,
        "window": WINDOW,
        "bare_per_s": [round(messages / before[0]), round(messages / after[0])],
        "uplink_per_s": round(messages / ours[0]),
        "history_per_s": round(stored[0] / ours[0]),
        "ratio": round(reference_s / ours[0], 3),
        "load": os.getloadavg()[0],
    }


async def _arrived(api: Bus, messages: int) -> None:
    async def done() -> bool:
        state = await link_state(api, "mqtt")
        return state is not None and state.delivered >= messages

    await until(done, deadline_s=300, what="everything delivered")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=1)
    parser.add_argument("--history", action="store_true", help="uplink stores the same readings meanwhile")
    args = parser.parse_args()
    found = asyncio.run(measure(messages=args.messages, qos=args.qos, history=args.history))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
