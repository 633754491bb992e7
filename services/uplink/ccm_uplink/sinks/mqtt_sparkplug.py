"""The gateway as a Sparkplug B edge node, over a connection of its own: a node's last will is its death.

Says how things are now (QoS 0, as the specification wants); what must not be lost goes by the other topics.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccm_contracts.channels import EVENT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Mqtt
from ccm_contracts.messages import Reading
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Delivery
from ccm_kit.clock import Clock
from ccm_uplink.link import LinkReport
from ccm_uplink.meter import EXHAUSTED_LATENCY_S
from ccm_uplink.sinks.mqtt_client import Client, MqttError, Will
from ccm_uplink.sinks.mqtt_connect import Connector, leave
from ccm_uplink.sparkplug import (
    BD_SEQ,
    BOOLEAN,
    DOUBLE,
    REBIRTH,
    STRING,
    UINT64,
    Content,
    Kind,
    Node,
    SparkplugMetric,
    asks_for_rebirth,
    payload,
)

log = logging.getLogger(__name__)

SILENT_S: Final = 300.0
"""A device without a reading for so long, or for two slots of a longer latency, is dead until the next one."""
LOOK_S: Final = 30.0
RETRY_FIRST_S: Final = 1.0
RETRY_CEILING_S: Final = 30.0
GOODBYE_S: Final = 2.0
WRAP: Final = 256
DELIVERED: Final = "Delivered"
"""The node's own metric: messages that its outbox has delivered."""

Values = Mapping[str, Content]


@dataclass(slots=True)
class _Device:
    ts_ms: int
    seen_s: float
    values: Values
    is_new: bool = True
    """Not yet published."""
    born: dict[str, int] = field(default_factory=dict)
    """Alias by metric, as the last birth said; empty while dead."""


class Births:
    """The numbers of births (bdSeq): one more each connection, after a restart too.

    A host takes an NDEATH that comes late for the one of a connection that is over (Sparkplug 3.0, bdSeq).
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._last = -1
        with suppress(OSError, ValueError):
            self._last = int(memory.read_text("ascii")) % WRAP

    def next(self) -> int:
        """Blocking. What a full disk does not take is repeated after a restart."""
        self._last = (self._last + 1) % WRAP
        with suppress(OSError):
            self._memory.write_text(str(self._last), "ascii")
        return self._last


class SparkplugNode:
    """A companion of the sink."""

    def __init__(
        self,
        settings: Mqtt,
        gateway: str,
        version: str,
        clock: Clock,
        report: LinkReport,
        births: Births,
    ) -> None:
        self._node = Node(settings.sparkplug.group_id, gateway)
        self._connector = Connector(settings, f"{settings.client_id or gateway}-spb", passed=report.passed)
        self._latency_s = settings.latency_s
        self._version = version
        self._clock = clock
        self._link = report
        self._devices: dict[str, _Device] = {}
        self._configured: set[str] | None = None
        self._births = births
        self._aliases = itertools.count(1)
        self._seq = itertools.cycle(range(WRAP))
        self._told = -1
        self._stir = asyncio.Event()

    def configure(self, document: Document) -> None:
        self._configured = {device.id for device in document.devices}
        self._configured |= {_plant(plant.id) for plant in document.plants}
        self._stir.set()

    def see(self, delivery: Delivery) -> None:
        if delivery.channel is EVENT:
            return
        is_reading = delivery.channel is TELEMETRY
        name = delivery.ids["device"] if is_reading else _plant(delivery.ids["plant"])
        ts_ms = int(delivery.message.ts.timestamp() * 1000)
        known = self._devices.get(name)
        if known is None:
            known = self._devices[name] = _Device(ts_ms, 0.0, {})
        elif ts_ms <= known.ts_ms:
            return  # a backlog: the newest is known already
        known.ts_ms, known.seen_s, known.is_new = ts_ms, self._clock.monotonic(), True
        known.values = _values_of(delivery.message)
        self._stir.set()

    async def run(self, client: Client) -> None:  # noqa: ARG002 - has its own
        """For ever; a failure of this connection is no failure of the sink."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while True:
            try:
                await self._live(backoff)
            except (MqttError, OSError, ValueError) as err:
                log.info("no Sparkplug connection", extra={"error": str(err)})
            await asyncio.sleep(backoff.next())

    async def _live(self, backoff: Backoff) -> None:
        birth = await asyncio.to_thread(self._births.next)
        death = payload(self._now_ms(), [SparkplugMetric(UINT64, birth, BD_SEQ)], None)
        own = await self._connector.connect(Will(self._node.topic("NDEATH"), death, 1, retain=False))
        try:
            await own.subscribe(self._node.topic("NCMD"), qos=1)
            await self._born(own, birth)
            backoff.reset()
            listening = asyncio.create_task(self._listen(own, birth), name="uplink.sparkplug.commands")
            try:
                await self._report(own, listening)
            finally:
                listening.cancel()
                await asyncio.wait({listening})
        except asyncio.CancelledError:
            with suppress(MqttError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):  # an orderly end sends no last will
                    await own.publish(self._node.topic("NDEATH"), death, 1)
            raise
        finally:
            await leave(own, GOODBYE_S)

    async def _listen(self, own: Client, birth: int) -> None:
        async for message in own.messages:
            try:
                if asks_for_rebirth(bytes(message.payload)):
                    await self._born(own, birth)
                    self._stir.set()
            except ValueError as err:
                log.info("NCMD refused", extra={"error": str(err)})

    async def _born(self, own: Client, birth: int) -> None:
        """NBIRTH begins the sequence; every device is born again after it."""
        self._seq = itertools.cycle(range(WRAP))
        self._told = self._link.delivered
        metrics = [
            SparkplugMetric(UINT64, birth, BD_SEQ),
            SparkplugMetric(BOOLEAN, False, REBIRTH),
            SparkplugMetric(STRING, self._version, "Properties/Version"),
            SparkplugMetric(UINT64, self._told, DELIVERED),
        ]
        for device in self._devices.values():
            device.born = {}
            device.is_new = True
        await self._send(own, "NBIRTH", metrics)

    async def _report(self, own: Client, listening: "asyncio.Task[None]") -> None:
        while not own.gone.is_set():
            for name in list(self._devices):
                await self._report_device(own, name, self._devices[name])
            if self._link.delivered != self._told:
                self._told = self._link.delivered
                await self._send(own, "NDATA", [SparkplugMetric(UINT64, self._told, DELIVERED)])
            if listening.done():
                listening.result()
            self._stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stir.wait()
        raise MqttError("the connection was lost")

    async def _report_device(self, own: Client, name: str, device: _Device) -> None:
        is_configured = self._configured is None or name in self._configured
        if not is_configured or self._clock.monotonic() - device.seen_s > self._silent_s():
            if device.born:
                device.born = {}
                await self._send(own, "DDEATH", [], name)
            if not is_configured:
                del self._devices[name]
        elif device.is_new:
            device.is_new = False
            if device.values.keys() <= device.born.keys():
                await self._send(own, "DDATA", _metrics(device, names=False), name)
            else:
                device.born = {
                    metric: device.born.get(metric) or next(self._aliases) for metric in device.values
                }
                await self._send(own, "DBIRTH", _metrics(device, names=True), name)

    async def _send(
        self, own: Client, kind: Kind, metrics: list[SparkplugMetric], device: str | None = None
    ) -> None:
        data = payload(self._now_ms(), metrics, next(self._seq))
        await own.publish(self._node.topic(kind, device), data, 0)

    def _silent_s(self) -> float:
        return silent_s(EXHAUSTED_LATENCY_S if self._link.is_used_up() else self._latency_s)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def silent_s(latency_s: int) -> float:
    """Of two readings in following slots one may be the first of its own, and the other the last."""
    return max(SILENT_S, 2.0 * latency_s + LOOK_S)


def _plant(plant: str) -> str:
    return f"plant-{plant}"


def _values_of(message: object) -> Values:
    if isinstance(message, Reading):
        return message.values
    fields = message.model_dump(exclude={"gateway", "plant", "ts", "missing"})  # type: ignore[attr-defined]
    return {name: value for name, value in fields.items() if isinstance(value, int | float | str | None)}


def _metrics(device: _Device, *, names: bool) -> list[SparkplugMetric]:
    return [
        SparkplugMetric(
            STRING if isinstance(value, str) else DOUBLE,
            value,
            name if names else None,
            device.born[name],
            device.ts_ms,
        )
        for name, value in device.values.items()
    ]
