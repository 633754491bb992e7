"""Stored series, energy by the periods of the clock, files of them, and the gaps in them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from ccm_api.asking import Asked, Joined, between, joined, must_be_known, pages
from ccm_api.deps import Site, SiteDep, ViewerDep
from ccm_api.exports import MEDIA, Format, Writer, rows_of, writer_of
from ccm_api.history_shapes import Gaps, GapView, History
from ccm_api.problems import invalid
from ccm_contracts.types import Border, Slug, format_ts
from ccm_contracts.verb_table import GAPS
from ccm_contracts.verbs.uplink import MAX_POINTS, Aggregate, GapsQuery, HistoryAnswer, Interval

router = APIRouter(tags=["history"])

_EXAMPLE: Final = "2026-05-01T12:00:00.000Z"


def _asked_of(
    site: SiteDep,
    devices: Annotated[
        list[Slug],
        Query(
            alias="device",
            min_length=1,
            max_length=20,
            description="A device's or plant's id; repeatable",
            examples=[["grid"]],
        ),
    ],
    metrics: Annotated[
        list[Slug],
        Query(alias="metric", max_length=50, description="Repeatable; none: all", examples=[["p"]]),
    ] = [],  # noqa: B006 - FastAPI copies it
    start: Annotated[
        Border | None,
        Query(alias="from", description="RFC 3339; default: an hour before `to`", examples=[_EXAMPLE]),
    ] = None,
    end: Annotated[
        Border | None, Query(alias="to", description="RFC 3339, not included; default: now")
    ] = None,
) -> Asked:
    return Asked(devices, metrics, *between(site, start, end))


def _cut_of(
    points: Annotated[
        int | None, Query(ge=1, le=MAX_POINTS, description="At most so many per series; none: as stored")
    ] = None,
    aggregate: Annotated[
        Aggregate | None,
        Query(
            description="One value per `interval`: `delta` of a counter; `energy` of a counter or a power, kWh"
        ),
    ] = None,
    interval: Annotated[
        Interval, Query(description="A period of the site's clock, for `aggregate`")
    ] = "hour",
) -> dict[str, Any]:
    if points is not None and aggregate is not None:
        raise invalid("points", "goes without `aggregate`: its intervals are those of `interval`")
    return {"points": points, "aggregate": aggregate, "interval": interval}


AskedDep = Annotated[Asked, Depends(_asked_of)]
CutDep = Annotated[dict[str, Any], Depends(_cut_of)]


@router.get("/history", summary="Stored values of devices and plants", response_model=History)
async def history(site: SiteDep, who: ViewerDep, asked: AskedDep, cut: CutDep) -> Response:
    """Each point is `[ts, mean, min, max]`. When `next` is set the range goes on: ask again with it as `from`.

    With `points` the server picks the resolution; the lowest and the highest value of each interval are in `min` and
    `max`, whatever the range. With `aggregate` each point is a whole period of the site's clock.
    """
    return await _answer(site, who.name, replace(asked, more=cut))


@router.get("/history/energy", summary="Energy per hour, day, month or year", response_model=History)
async def energy(
    site: SiteDep,
    who: ViewerDep,
    asked: AskedDep,
    by: Annotated[
        Literal["hour", "day", "month", "year"], Query(description="A period of the site's clock")
    ] = "day",
) -> Response:
    """What counters counted, or the integral of powers, in kWh; never negative because a counter began anew. A meter
    that was exchanged, rolled over, jittered or showed nonsense counts what was measured and nothing else.
    """
    more = {"aggregate": "energy", "interval": by}
    return await _answer(site, who.name, replace(asked, more=more))


@router.get(
    "/history/export",
    summary="Stored values as a file",
    response_class=StreamingResponse,
    responses={200: {"content": {kind.partition(";")[0]: {} for kind in MEDIA.values()}}},
)
async def export(
    site: SiteDep,
    who: ViewerDep,
    asked: AskedDep,
    cut: CutDep,
    form: Annotated[
        Format | None, Query(alias="format", description="Default: the format of the setting `historic`")
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"],
        Query(description="CSV: with a decimal comma cells are parted by semicolons"),
    ] = "point",
) -> StreamingResponse:
    """One row a value: time, device, metric, unit, value, min, max; however long the range is.

    Times carry the offset of the site's clock (Parquet: UTC). Parquet has texts in a column of their own.
    """
    form = form or site.document.historic.format
    asked = replace(asked, more=cut)
    answers = pages(site, asked, who.name)
    first = await anext(answers)  # what is wrong with the question is told before the file begins
    must_be_known(site, asked, {each.device for each in first.series})
    writer = writer_of(form, site.document.timezone, decimal_comma=decimal == "comma")
    name = f"history-{'-'.join(asked.devices)[:80]}-{asked.start:%Y%m%d}-{asked.end:%Y%m%d}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Accel-Buffering": "no"}
    return StreamingResponse(_file(writer, first, answers), media_type=MEDIA[form], headers=headers)


async def _file(
    writer: Writer, first: HistoryAnswer, others: AsyncIterator[HistoryAnswer]
) -> AsyncIterator[bytes]:
    """A page of memory at a time."""
    yield writer.begin()
    yield await asyncio.to_thread(writer.page, rows_of(first.series))
    async for answer in others:
        yield await asyncio.to_thread(writer.page, rows_of(answer.series))
    yield writer.end()


@router.get("/history/gaps", summary="When a device was not read, and why")
async def gaps(site: SiteDep, who: ViewerDep, asked: AskedDep) -> Gaps:
    """Of the first device: from the last reading before each gap to the first one after it.

    `next`: ask again with it as `from`.
    """
    device = asked.devices[0]
    query = GapsQuery.model_validate({"device": device, "from": asked.start, "to": asked.end})
    answer = await site.bus.call(GAPS, query, issued_by=f"api:{who.name}")
    if answer.expected_s is None:
        must_be_known(site, asked, set())
    found = [GapView.model_validate(each.model_dump(by_alias=True)) for each in answer.gaps]
    return Gaps(device=device, expected_s=answer.expected_s, gaps=found, next=answer.next_from)


async def _answer(site: Site, who: str, asked: Asked) -> Response:
    found = await joined(site, asked, who)
    return Response(await asyncio.to_thread(_rendered, found), media_type="application/json")


def _rendered(found: Joined) -> bytes:
    """By hand: tens of thousands of points are not worth a model each."""
    series = [
        {
            "device": each.device,
            "metric": each.metric,
            "unit": each.unit,
            "resolution_s": each.resolution_s,
            "stat": each.stat,
            "points": [[_text(ts_ms), mean, low, high] for ts_ms, mean, low, high in each.points],
        }
        for each in found.series.values()
    ]
    after = format_ts(found.next_from) if found.next_from else None
    return json.dumps({"series": series, "next": after}, separators=(",", ":")).encode()


def _text(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ts_ms % 1000:03d}Z"
