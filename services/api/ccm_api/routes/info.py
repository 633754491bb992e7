"""What this gateway is, and how its services and uplinks do."""

import asyncio
from pathlib import Path
from typing import Final

from fastapi import APIRouter

from ccm_api.deps import SiteDep, ViewerDep
from ccm_api.freshness import is_service_stale
from ccm_api.shapes import Info, Interface, LedList, ServiceView

router = APIRouter(tags=["gateway"])

INTERFACES: Final = Path("/sys/class/net")
"""Linux: one folder per network interface (Documentation/ABI/testing/sysfs-class-net)."""
_LOOPBACK: Final = "lo"


@router.get("/info", summary="The gateway")
async def info(site: SiteDep, _: ViewerDep) -> Info:
    """Identity, features of the model, services with their announcements, uplinks, network interfaces."""
    document, live, now = site.document, site.live, site.clock.now()
    return Info(
        serial=site.bus.gateway,
        model=document.gateway.model,
        alias=document.gateway.alias,
        version=site.version,
        features=sorted(document.gateway.features),
        timezone=document.timezone,
        time=now,
        interfaces=await asyncio.to_thread(interfaces_in, INTERFACES),
        mode=next(iter(live.modes.values()), None),
        services=[
            ServiceView(**service.model_dump(), stale=is_service_stale(service, now))
            for _, service in sorted(live.services.items())
        ],
        links=[link for _, link in sorted(live.links.items())],
    )


@router.get("/leds", summary="The LEDs of the front")
async def leds(site: SiteDep, _: ViewerDep) -> LedList:
    return LedList(leds=[led for _, led in sorted(site.live.leds.items())])


def interfaces_in(directory: Path) -> list[Interface]:
    """The host's interfaces with their MAC addresses; those that cannot be read are left out."""
    found = []
    for each in sorted(directory.iterdir()) if directory.is_dir() else []:
        try:
            mac = (each / "address").read_text().strip()
        except OSError:
            continue
        if each.name != _LOOPBACK:
            found.append(Interface(name=each.name, mac=mac))
    return found
