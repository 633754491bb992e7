"""Cuts ranges into equal intervals and series into pages. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

Point = tuple[int, float | str | None, float | None, float | None]
"""`(ts_ms, mean, min, max)`, or `(ts_ms, text, None, None)`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(ts_ms: int) -> datetime:
    """The moment, in UTC, exactly."""
    return _EPOCH + timedelta(milliseconds=ts_ms)


def bucket_ms(start_ms: int, end_ms: int, points: int) -> int:
    """The width of at most `points` equal intervals that cover `[start, end)`, in whole milliseconds."""
    return max(1, -(-(end_ms - start_ms) // points))


def pages_of(found: Sequence[list[Point]], most: int) -> tuple[list[list[Point]], int | None]:
    """The first page of several series and where the next begins, or None when this is all.

    Each series holds up to `most + 1` points: one more than fits says that there are more. All series are cut at
    the same moment, so that a page neither repeats nor leaves out a point of any.
    """
    cuts = [points[most][0] for points in found if len(points) > most]
    if not cuts:
        return list(found), None
    cut = min(cuts)
    return [[point for point in points if point[0] < cut] for points in found], cut
