"""Figures for Prometheus, in its text format; signed in, or with a Bearer token as scrape credential."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from ccm_api.deps import SiteDep, ViewerDep
from ccm_api.exposition import MEDIA_TYPE, exposition

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
async def metrics(site: SiteDep, _: ViewerDep) -> Response:
    text = exposition(site.live, now=site.clock.now(), version=site.version, streams=len(site.hub))
    return Response(text, media_type=MEDIA_TYPE)
