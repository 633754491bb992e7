"""The bus as a service has it, on a server without users."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ccm_contracts.channels import Service
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from tests.support.nats import NatsServer

GATEWAY: Final = "GW1"


@asynccontextmanager
async def bus_as(nats: NatsServer, service: Service, gateway: str = GATEWAY) -> AsyncIterator[Bus]:
    link = NatsLink(nats.url, user="", password="", name=service)
    clock = SystemClock()
    async with link, open_bus(link, service=service, gateway=gateway, clock=clock, version="0.0.0") as bus:
        yield bus


def service_env(nats: NatsServer, directory: Path, gateway: str = GATEWAY) -> dict[str, str]:
    """What a service's process is told."""
    return {
        "CCM_GATEWAY": gateway,
        "CCM_NATS_URL": nats.url,
        "CCM_NATS_USER": "",
        "CCM_DATA_DIR": str(directory),
    }
