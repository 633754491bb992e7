"""uplink as a process between a bus of its own and a Mosquitto, over a line that can be cut."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Bus
from tests.integration.uplink.site import (
    Uplink,
    configure,
    connected,
    on_bus,
    publish,
    reading,
    uplink_process,
)
from tests.support.mosquitto import BrokerOptions, Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer
from tests.support.proxy import Proxy, proxy
from tests.support.wait import until
from tests.support.witness import Witness


@dataclass
class MqttRig:
    """`sent` counts the readings that were measured: their numbers are 0 to `sent` - 1."""

    reader: Bus
    api: Bus
    uplink: Uplink
    broker: Mosquitto
    line: Proxy
    """From uplink to the broker."""
    sent: int = 0

    async def begin(self, **settings: Any) -> None:
        """Switch MQTT on with every reading sent; returns when it is connected."""
        given = {"enabled": True, "port": self.line.port, "latency_s": 0, **settings}
        await configure(self.api, self.uplink, "mqtt", Mqtt.model_validate(given))
        await connected(self.api, "mqtt")

    async def send(self, count: int = 1) -> None:
        begin, self.sent = self.sent, self.sent + count
        await publish(self.reader, *(reading(n) for n in range(begin, begin + count)))

    async def all_arrived(self, listener: Witness, *, deadline_s: float = 60) -> None:
        await until(
            lambda: set(seen(listener)) >= set(range(self.sent)),
            deadline_s=deadline_s,
            what="every reading",
            interval_s=0.5,
        )


def seen(listener: Witness) -> Counter[int]:
    """How often each reading was heard, single or in a batch."""
    bodies = [json.loads(payload) for payload in list(listener.payloads)]
    readings = itertools.chain.from_iterable(body if isinstance(body, list) else [body] for body in bodies)
    return Counter(each["seq"] for each in readings)


@asynccontextmanager
async def mqtt_rig(
    nats: NatsServer, directory: Path, options: BrokerOptions | None = None
) -> AsyncIterator[MqttRig]:
    """Everything runs, MQTT is not switched on yet. Without `options` the broker keeps nothing on disk."""
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        mosquitto_broker(directory / "broker", options) as broker,
        proxy(broker.port) as line,
        uplink_process(nats, directory / "uplink") as uplink,
    ):
        yield MqttRig(reader, api, uplink, broker, line)
