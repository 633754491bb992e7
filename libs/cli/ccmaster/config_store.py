"""The configuration on the bus, as the operator's own credential sees it: read it, lay sections into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ccm_contracts.config.document import Document
from ccm_contracts.permissions import ADMIN
from ccm_kit.bus import Bus
from ccm_kit.clock import SystemClock
from ccm_kit.config_watch import Snapshot, snapshots
from ccm_kit.nats_link import NatsLink
from ccm_kit.secrets import SecretBox
from ccmaster.broker import Broker, password_in


@asynccontextmanager
async def operator_bus(broker: Broker, gateway: str) -> AsyncIterator[Bus]:
    """The bus under the operator's credential."""
    password = password_in(broker.password_file(ADMIN))
    async with NatsLink(broker.url, user=ADMIN, password=password, name=ADMIN) as link:
        yield Bus(link, service="api", gateway=gateway, clock=SystemClock(), version="0.0.0")


async def stored(bus: Bus, key_file: Path) -> Snapshot:
    """The configuration as it is now."""
    async for snapshot in snapshots(bus, SecretBox(key_file)):
        return snapshot
    raise AssertionError("snapshots never end")


async def lay(bus: Bus, key_file: Path, document: Document, sections: list[str]) -> list[str]:
    """Store `sections` of `document` where they differ from what is stored; returns which did."""
    now = await stored(bus, key_file)
    seal = SecretBox(key_file).seal
    changed = []
    for section in sections:
        value = getattr(document, section)
        if section in now.revisions and value == getattr(now.document, section):
            continue
        await bus.write_config(section, value, seal=seal)
        changed.append(section)
    return changed
