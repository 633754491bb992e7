"""Asks uplink for stored series, page by page."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from ccm_api.deps import Site
from ccm_api.problems import invalid, not_found
from ccm_contracts.verb_table import HISTORY
from ccm_contracts.verbs.uplink import HistoryAnswer, HistoryQuery, Series

DEFAULT_RANGE: Final = timedelta(hours=1)
MOST_PAGES: Final = 8
MOST_POINTS: Final = 40_000
"""Points of all series in one answer; at either bound the answer ends with `next`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of which series; `more` are the fields of the query beside range and series."""

    devices: Sequence[str]
    metrics: Sequence[str]
    start: datetime
    end: datetime
    more: dict[str, Any] = field(default_factory=dict)

    def query(self, start: datetime) -> HistoryQuery:
        return HistoryQuery.model_validate(
            {
                "device": self.devices[0],
                "devices": self.devices[1:],
                "metrics": self.metrics,
                "from": start,
                "to": self.end,
                **self.more,
            }
        )


def between(site: Site, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The range that was asked for: the last hour, where nothing is said. Raises a problem of `from`."""
    end = end or site.clock.now()
    start = start or end - DEFAULT_RANGE
    if start >= end:
        raise invalid("from", "must be before `to`")
    return start, end


async def pages(site: Site, asked: Asked, who: str) -> AsyncIterator[HistoryAnswer]:
    """Every page of the range."""
    start: datetime | None = asked.start
    while start is not None:
        answer = await site.bus.call(HISTORY, asked.query(start), issued_by=f"api:{who}")
        yield answer
        start = answer.next_from


@dataclass(slots=True)
class Joined:
    """Pages of the same series, one after the other."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    next_from: datetime | None = None


async def joined(site: Site, asked: Asked, who: str) -> Joined:
    """As many pages as one answer carries. Raises a problem for a device that nobody knows."""
    found, points, number = Joined(), 0, 0
    async for answer in pages(site, asked, who):
        for each in answer.series:
            before = found.series.setdefault((each.device, each.metric), each)
            if before is not each:
                before.points.extend(each.points)
            points += len(each.points)
        number += 1
        found.next_from = answer.next_from
        if number >= MOST_PAGES or points >= MOST_POINTS:
            break
    must_be_known(site, asked, {device for device, _ in found.series})
    return found


def must_be_known(site: Site, asked: Asked, found: set[str]) -> None:
    """A device without history is known when it is configured."""
    document = site.document
    known = found | {each.id for each in document.devices} | {each.id for each in document.plants}
    for name in asked.devices:
        if name not in known:
            raise not_found("device or plant", name)
