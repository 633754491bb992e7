"""A short soak; `tests/bench/soak.py` is the long one."""

from pathlib import Path

from tests.support.soak import soak

HEAP_KIB = 512
"""Learned time-outs, debts and counters come and go; the long run shows what this one cannot."""


async def test_faults_leave_no_line_stuck_and_no_file_or_task_behind(tmp_path: Path) -> None:
    left = await soak(15.0, tmp_path)
    assert left.episodes > 30
    assert left.reopenings > 5
    assert left.files_grown <= 0
    assert left.tasks_grown <= 2
    assert left.heap_grown_kib < HEAP_KIB
