"""Whether the service lives and whether it can serve; public, for supervisors and containers."""

from typing import Final

from fastapi import APIRouter

from ccm_api.deps import SiteDep
from ccm_api.problems import ProblemError
from ccm_api.shapes import Live, Ready

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="The process answers")
async def live() -> Live:
    return Live()


UNSTORED_S: Final = 10.0
"""A bus that takes nothing for so long is no bus: its disk is full, mostly."""


@router.get("/ready", summary="The bus is there and stores, and the configuration is known")
async def ready(site: SiteDep) -> Ready:
    if not site.bus.is_connected:
        raise ProblemError(503, "bus-down", "NATS is away")
    if (failing_s := site.bus.outbox.failing_s) > UNSTORED_S:
        raise ProblemError(
            503, "bus-does-not-store", f"NATS has stored nothing for {failing_s:.0f} s: is its disk full?"
        )
    if site.live.config is None:
        raise ProblemError(503, "starting", "the configuration is not known yet")
    return Ready()
