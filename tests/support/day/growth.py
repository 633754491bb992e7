"""What the process holds at a moment: heap, blocks, resident memory, files, tasks, timers."""

import asyncio
import gc
import os
import sys
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Held:
    """After a garbage collection."""

    heap_bytes: int
    """Allocated since tracemalloc was started, and still held; 0 without it."""
    blocks: int
    """Of Python's small-object allocator, whoever allocated them and when."""
    rss_bytes: int
    files: int
    tasks: int
    """Of the engine."""


def held() -> Held:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Held(
        heap_bytes=tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0,
        blocks=sys.getallocatedblocks(),
        rss_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        tasks=sum(task.get_name().startswith("bus-reader") for task in asyncio.all_tasks()),
    )


def objects() -> Counter[str]:
    """How many there are of each type."""
    return Counter(type(each).__qualname__ for each in gc.get_objects())


def grown(before: Counter[str], most: int = 12) -> list[tuple[str, int]]:
    """The types of which there are most more than before."""
    more = objects()
    more.subtract(before)
    return [(name, count) for name, count in more.most_common(most) if count > 0]


def allocators(before: tracemalloc.Snapshot, most: int = 12) -> list[dict[str, Any]]:
    """The lines of code that hold more than before."""
    unseen = tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__)
    later = tracemalloc.take_snapshot().filter_traces([unseen])
    return [
        {"where": str(each.traceback), "bytes": each.size_diff, "blocks": each.count_diff}
        for each in later.compare_to(before.filter_traces([unseen]), "lineno")[:most]
        if each.size_diff > 0
    ]
