"""Whether the service lives and whether it can serve; public, for supervisors and containers."""

from fastapi import APIRouter

from ccm_api.deps import SiteDep
from ccm_api.problems import ProblemError
from ccm_api.shapes import Live, Ready

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="The process answers")
async def live() -> Live:
    return Live()


@router.get("/ready", summary="The bus is there and the configuration is known")
async def ready(site: SiteDep) -> Ready:
    if not site.bus.is_connected:
        raise ProblemError(503, "bus-down", "NATS is away")
    if site.live.config is None:
        raise ProblemError(503, "starting", "the configuration is not known yet")
    return Ready()
