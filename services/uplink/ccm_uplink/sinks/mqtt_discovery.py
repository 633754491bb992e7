"""Keeps Home Assistant's discovery messages in step with what is configured and what is seen. Rides on the connection.

What was published is remembered in a file, so that a device that is removed while the gateway is off goes too.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from ccm_contracts.channels import PLANT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_kit.bus import Delivery
from ccm_uplink import home_assistant as ha
from ccm_uplink.sinks.mqtt_client import Client
from ccm_uplink.topics import Topics

log = logging.getLogger(__name__)

SETTLE_S: Final = 2.0
"""A device's metrics come with several readings: they are announced together."""

Snapshots = AsyncIterator[Document]


class Discovery:
    """A companion of the sink. With `is_enabled` false it only removes what was announced before."""

    def __init__(
        self, prefix: str, origin: ha.Origin, topics: Topics, memory: Path, *, is_enabled: bool
    ) -> None:
        self._prefix = prefix
        self._origin = origin
        self._topics = topics
        self._memory = memory
        self._is_enabled = is_enabled
        self._document: Document | None = None
        self._metrics: dict[str, set[str]] = {}
        self._plants: set[str] = set()
        self._stir = asyncio.Event()

    def configure(self, document: Document) -> None:
        """The devices and plants that there are now."""
        self._document = document
        self._stir.set()

    def see(self, delivery: Delivery) -> None:
        if delivery.channel is TELEMETRY:
            known = self._metrics.setdefault(delivery.ids["device"], set())
            names = {name for name, value in delivery.message.values.items() if value is not None}
            if not names <= known:
                known |= names
                self._stir.set()
        elif delivery.channel is PLANT and delivery.ids["plant"] not in self._plants:
            self._plants.add(delivery.ids["plant"])
            self._stir.set()

    async def run(self, client: Client) -> None:
        """Raises `MqttError` and `OSError`."""
        published: dict[str, bytes] = {}
        while True:
            if self._document is not None:
                await self._publish(client, self._wanted(self._document), published)
            self._stir.clear()
            await self._stir.wait()
            await asyncio.sleep(SETTLE_S)

    def _wanted(self, document: Document) -> dict[str, bytes]:
        """Topic to message."""
        if not self._is_enabled:
            return {}
        found = {}
        for device in document.devices:
            metrics = self._metrics.get(device.id)
            if metrics:
                message = ha.device_config(
                    self._origin, self._topics, device.id, device.alias, device.model, metrics
                )
                found[ha.config_topic(self._prefix, self._origin, f"device-{device.id}")] = message
        for plant in document.plants:
            if plant.id in self._plants:
                topic = ha.config_topic(self._prefix, self._origin, f"plant-{plant.id}")
                found[topic] = ha.plant_config(self._origin, self._topics, plant.id, plant.alias)
        return found

    async def _publish(self, client: Client, wanted: dict[str, bytes], published: dict[str, bytes]) -> None:
        remembered = set(self._remembered())
        for topic in remembered - wanted.keys():
            if not self._is_still_there(topic):
                await client.publish(topic, b"", 1, retain=True)
                published.pop(topic, None)
                remembered.discard(topic)
        self._remember(remembered | wanted.keys())
        for topic, message in wanted.items():
            if published.get(topic) != message:
                await client.publish(topic, message, 1, retain=True)
                published[topic] = message

    def _is_still_there(self, topic: str) -> bool:
        """Announced by a former process and still configured: it only has not been seen yet."""
        document = self._document
        if not self._is_enabled or document is None:
            return False
        names = [f"device-{device.id}" for device in document.devices]
        names += [f"plant-{plant.id}" for plant in document.plants]
        return topic in {ha.config_topic(self._prefix, self._origin, name) for name in names}

    def _remembered(self) -> list[str]:
        try:
            found = json.loads(self._memory.read_text())
        except (OSError, ValueError):
            return []
        return [topic for topic in found if isinstance(topic, str)] if isinstance(found, list) else []

    def _remember(self, topics: set[str]) -> None:
        if topics == set(self._remembered()):
            return
        draft = self._memory.with_suffix(".new")
        draft.write_text(json.dumps(sorted(topics)))
        draft.replace(self._memory)
