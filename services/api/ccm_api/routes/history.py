"""Stored series, asked from uplink; long ranges come in pages."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from ccm_api.deps import Site, SiteDep, ViewerDep
from ccm_api.problems import invalid, not_found
from ccm_api.shapes import History
from ccm_contracts.channels import HISTORY
from ccm_contracts.types import Slug, Timestamp, format_ts
from ccm_contracts.verbs.uplink import MAX_POINTS, HistoryAnswer, HistoryQuery, Series

router = APIRouter(tags=["history"])

DEFAULT_RANGE: Final = timedelta(hours=1)
MOST_PAGES: Final = 8
MOST_POINTS: Final = 40_000
"""Points of all series in one answer; at either bound the answer ends with `next`."""

_EXAMPLE: Final = "2026-05-01T12:00:00.000Z"


@dataclass(slots=True)
class _Joined:
    """Pages of the same series, one after the other."""

    series: dict[str, Series] = field(default_factory=dict)
    points: int = 0
    next_from: datetime | None = None

    def add(self, answer: HistoryAnswer) -> None:
        for each in answer.series:
            if each.metric in self.series:
                self.series[each.metric].points.extend(each.points)
            else:
                self.series[each.metric] = each
            self.points += len(each.points)
        self.next_from = answer.next_from


@router.get("/history", summary="Stored values of one device or plant", response_model=History)
async def history(
    site: SiteDep,
    who: ViewerDep,
    device: Annotated[Slug, Query(description="A device's or plant's id", examples=["grid"])],
    metric: Annotated[
        list[Slug], Query(max_length=50, description="Repeatable; none: all", examples=[["p"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    start: Annotated[
        Timestamp | None,
        Query(alias="from", description="RFC 3339; default: an hour before `to`", examples=[_EXAMPLE]),
    ] = None,
    end: Annotated[
        Timestamp | None, Query(alias="to", description="RFC 3339, not included; default: now")
    ] = None,
    points: Annotated[
        int | None, Query(ge=1, le=MAX_POINTS, description="At most so many per series; none: as stored")
    ] = None,
) -> Response:
    """Each point is `[ts, mean, min, max]`. When `next` is set the range goes on: ask again with it as `from`."""
    end = end or site.clock.now()
    start = start or end - DEFAULT_RANGE
    if start >= end:
        raise invalid("from", "must be before `to`")
    joined = _Joined(next_from=start)
    for _ in range(MOST_PAGES):
        query = HistoryQuery.model_validate(
            {"device": device, "metrics": metric, "from": joined.next_from, "to": end, "points": points}
        )
        joined.add(await site.bus.call(HISTORY, query, issued_by=f"api:{who.name}"))
        if joined.next_from is None or joined.points >= MOST_POINTS:
            break
    if not joined.series and not _is_configured(site, device):
        raise not_found("device or plant", device)
    return Response(await asyncio.to_thread(_rendered, joined), media_type="application/json")


def _is_configured(site: Site, name: str) -> bool:
    document = site.document
    return name in {each.id for each in document.devices} | {each.id for each in document.plants}


def _rendered(joined: _Joined) -> bytes:
    """By hand: tens of thousands of points are not worth a model each."""
    series = [
        {
            "device": each.device,
            "metric": each.metric,
            "unit": each.unit,
            "resolution_s": each.resolution_s,
            "points": [[_text(ts_ms), mean, low, high] for ts_ms, mean, low, high in each.points],
        }
        for each in joined.series.values()
    ]
    after = format_ts(joined.next_from) if joined.next_from else None
    return json.dumps({"series": series, "next": after}, separators=(",", ":")).encode()


def _text(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ts_ms % 1000:03d}Z"
