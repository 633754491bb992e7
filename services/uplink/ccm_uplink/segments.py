"""How the outbox of one link is cut into segments: names of durable consumers, and what each of them covers. Pure.

A family `mqtt` has the consumer `mqtt`, which begins with the stream, and one for each cut since:

    mqtt-s500        begins at 500; what is before it ends at 499
    mqtt-s900-e700   begins at 900; what is before it ends at 700: from 701 to 899 the link was switched off
    mqtt-off701      the link is switched off; what it still owes ends at 700

Each message of the stream thus belongs to at most one segment, and the consumers' names are all that must be kept.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_SEGMENTS: Final = 16
"""At this number nothing more is cut: the newest segment then sends its own backlog first."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Sequences of the stream from `start` (None: from its beginning) to `end` (None: for ever), both included."""

    name: str
    start: int | None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Segments from the oldest to the newest; `off` is the mark of a link that is switched off."""

    segments: tuple[Segment, ...]
    off: Segment | None = None
    void: tuple[Segment, ...] = ()
    """Left over by an interrupted change: they cover nothing."""


def live_name(family: str, start: int, previous_end: int | None = None) -> str:
    """The segment that begins at `start`; the one before ends at `previous_end`, or else right before it."""
    gap = "" if previous_end is None or previous_end == start - 1 else f"-e{previous_end}"
    return f"{family}-s{start}{gap}"


def off_name(family: str, start: int) -> str:
    """The mark of a link that was switched off before `start`."""
    return f"{family}-off{start}"


def layout_of(family: str, names: Iterable[str]) -> Layout:
    """What the names of a stream's consumers say about one family; other names are left out."""
    pattern = re.compile(rf"{re.escape(family)}(?:-s(\d+)(?:-e(\d+))?|-off(\d+))?")
    found: list[tuple[int, int | None, bool, str]] = []
    for name in names:
        match = pattern.fullmatch(name)
        if match:
            start, previous_end, off = (int(group) if group else None for group in match.groups())
            at = start if start is not None else off if off is not None else 0
            found.append((at, previous_end, off is not None, name))
    found.sort(key=lambda row: (row[0], not row[2]))
    segments: list[Segment] = []
    void: list[Segment] = []
    mark: Segment | None = None
    ends_at: int | None = None  # of the next older one
    for at, previous_end, is_off, name in reversed(found):
        segment = Segment(name, at or None, ends_at)
        if is_off and ends_at is None:
            mark = segment
        elif is_off or (ends_at is not None and at > ends_at):
            void.append(segment)
            continue
        else:
            segments.append(segment)
        ends_at = previous_end if previous_end is not None else at - 1
    return Layout(tuple(reversed(segments)), mark, tuple(void))
