"""What rides on the MQTT link beside the outbox: Home Assistant's discovery, Sparkplug B, and what both must know."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Delivery
from ccm_kit.config_watch import snapshots
from ccm_kit.service import Context
from ccm_uplink.home_assistant import Origin
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.mqtt import Companion
from ccm_uplink.sinks.mqtt_client import Client
from ccm_uplink.sinks.mqtt_discovery import Discovery
from ccm_uplink.sinks.mqtt_sparkplug import Births, SparkplugNode
from ccm_uplink.topics import Topics

SECTIONS: Final = ("devices", "plants")


class _Configured(Companion, Protocol):
    def configure(self, document: Document) -> None:
        """The devices and plants that there are now."""


class _Site:
    """Tells the others which devices and plants are configured."""

    def __init__(self, context: Context, others: Sequence[_Configured]) -> None:
        self._context = context
        self._others = others

    def see(self, delivery: Delivery) -> None:
        """Nothing to learn from messages."""

    async def run(self, client: Client) -> None:  # noqa: ARG002
        async for snapshot in snapshots(self._context.bus, self._context.box, SECTIONS):
            for other in self._others:
                other.configure(snapshot.document)


def companions(settings: Mqtt, context: Context, report: LinkReport) -> list[Companion]:
    """Those that the settings ask for; discovery also when it has something to take back."""
    bus, found = context.bus, list[_Configured]()
    memory: Path = context.settings.data_dir / "mqtt-discovery.json"
    if settings.home_assistant.enabled or memory.exists():
        topics = Topics(settings.prefix_sub, settings.prefix_pub)
        origin = Origin(bus.gateway, bus.version)
        home = settings.home_assistant
        found.append(Discovery(home.prefix, origin, topics, memory, is_enabled=home.enabled))
    if settings.sparkplug.enabled:
        births = Births(context.settings.data_dir / "mqtt-sparkplug.births")
        found.append(SparkplugNode(settings, bus.gateway, bus.version, bus.clock, report, births))
    return [_Site(context, found), *found] if found else []
