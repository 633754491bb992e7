"""Child processes: restarted with growing waits, ended in order, never left behind."""

import os
import sys
from pathlib import Path

import psutil

from ccmaster.children import Child, reason_of, stop
from tests.support.wait import until_sync

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child_of(code: str, log: Path) -> Child:
    return Child("part", [sys.executable, "-c", code], dict(os.environ), lambda: None, log=log)


def test_dead_child_waits_longer_each_time_up_to_the_ceiling(tmp_path: Path) -> None:
    child = child_of("raise SystemExit(3)", tmp_path / "log")
    waits = []
    for _ in range(8):
        child.start()
        assert until_sync(child.ended, deadline_s=10, what="the child to end") == 3
        waits.append(child.wait_s)
        assert not child.is_due()
    assert waits == [0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0]


def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = child_of(STUBBORN, log)
    child.start()
    assert child.process is not None
    pid = child.process.pid
    until_sync(lambda: "up" in log.read_text(), deadline_s=10, what="the child to be up")
    stop([child], limit_s=0.2)
    assert not psutil.pid_exists(pid)
    assert child.process is None


def test_how_a_process_ended_is_said_in_words() -> None:
    assert reason_of(-9) == "killed by SIGKILL"
    assert reason_of(1) == "ended with code 1"
