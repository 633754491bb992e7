"""A start that is disturbed while the site file is put on the bus: it ends with a reason, and nothing is left."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.gateway import CCMASTER, free_environment
from tests.support.processes import Child, descendants, is_alive
from tests.support.wait import until_sync

pytestmark = pytest.mark.system


STOPS_ITSELF = """\
import os, signal, sys
if {"ccmaster.prepare", "lay"} <= set(sys.orig_argv):
    os.kill(os.getpid(), signal.SIGSTOP)
"""
"""What Python runs first in each process (module `site`)."""


def _is_stopped(child: Child) -> bool:
    """Whether a descendant stands still."""
    return any(_status(process) == psutil.STATUS_STOPPED for process in descendants(child.pid))


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


@contextmanager
def _held_while_laying(tmp_path: Path) -> Iterator[tuple[Child, list[psutil.Process]]]:
    """`ccmaster demo`, stopped at the moment at which it stores its configuration; and all its processes."""
    _, env = free_environment()
    first = tmp_path / "first"
    first.mkdir()
    (first / "sitecustomize.py").write_text(STOPS_ITSELF)
    env["PYTHONPATH"] = str(first)
    arguments: list[str | Path] = [CCMASTER, "demo", "--data-dir", tmp_path / "data"]
    child = Child.spawn(arguments, log=tmp_path / "demo.log", env=env)
    try:
        until_sync(lambda: _is_stopped(child), deadline_s=40, what="the laying step")
        yield child, descendants(child.pid)
    finally:
        child.signal(signal.SIGKILL)


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(is_alive(process) for process in processes)


def test_nats_that_dies_meanwhile_ends_the_start(tmp_path: Path) -> None:
    with _held_while_laying(tmp_path) as (child, family):
        nats = next(process for process in family if process.name() == "nats-server")
        nats.kill()
        until_sync(lambda: not child.is_running, deadline_s=20, what="the start to be given up")
        until_sync(lambda: _gone(family), deadline_s=20, what="all processes to end")
        assert child.returncode == 2
        last = child.lines[-1]
        assert last.startswith(
            "ccmaster: the configuration could not be stored: NATS killed by SIGKILL; see "
        )
        assert last.endswith("nats.log")


def test_ctrl_c_meanwhile_ends_the_start(tmp_path: Path) -> None:
    with _held_while_laying(tmp_path) as (child, family):
        child.signal(signal.SIGINT)
        until_sync(lambda: not child.is_running, deadline_s=20, what="the end")
        until_sync(lambda: _gone(family), deadline_s=20, what="all processes to end")
        assert child.returncode == 0


def test_no_step_outlives_a_start_that_was_killed(tmp_path: Path) -> None:
    with _held_while_laying(tmp_path) as (child, family):
        child.signal(signal.SIGKILL)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        until_sync(lambda: _gone(family), deadline_s=20, what="all processes to end")
