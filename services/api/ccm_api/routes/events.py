"""Events and alarms, newest first, from memory."""

from typing import Annotated

from fastapi import APIRouter, Query

from ccm_api.deps import SiteDep, ViewerDep
from ccm_api.live import EVENTS_KEPT
from ccm_api.shapes import EventList, LoggedEvent
from ccm_contracts.messages import Severity
from ccm_contracts.types import Slug

router = APIRouter(tags=["events"])


@router.get("/events", summary="The newest events")
async def events(
    site: SiteDep,
    _: ViewerDep,
    limit: Annotated[int, Query(ge=1, le=EVENTS_KEPT)] = 100,
    before: Annotated[int | None, Query(ge=1, description="`next` of the previous page")] = None,
    severity: Annotated[Severity | None, Query()] = None,
    source: Annotated[Slug | None, Query(description="The service that reports", examples=["io"])] = None,
) -> EventList:
    """The last 500 since this service started, and from before that the newest of each source and kind."""
    chosen = [
        logged
        for logged in reversed(site.live.events)
        if (before is None or logged.seq < before)
        and severity in (None, logged.event.severity)
        and source in (None, logged.event.source)
    ]
    page = chosen[:limit]
    return EventList(
        events=[LoggedEvent(**logged.event.model_dump(), seq=logged.seq) for logged in page],
        next=page[-1].seq if len(chosen) > limit else None,
    )
