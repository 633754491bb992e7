"""Waiting, ports, processes and log formats."""

import logging
import sys
from pathlib import Path

import pytest

from tests.support.logs import checked_formats
from tests.support.ports import accepts, free_port
from tests.support.processes import Child, child, descendants, kill_all, marked, new_mark
from tests.support.wait import stays, until, until_sync


async def test_until_returns_the_first_truthy_value() -> None:
    values = iter([0, 0, 7])
    assert await until(lambda: next(values), deadline_s=1, what="a number") == 7


async def test_until_awaits_an_async_condition() -> None:
    async def yes() -> str:
        return "yes"

    assert await until(yes, deadline_s=1, what="yes") == "yes"


async def test_until_names_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.05 s for the moon; last seen: \[\]"):
        await until(list, deadline_s=0.05, what="the moon", least_s=0)


def test_until_sync_names_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="for the moon"):
        until_sync(lambda: None, deadline_s=0.05, what="the moon", least_s=0)


async def test_stays_fails_when_the_condition_ends() -> None:
    values = iter([True, False])
    with pytest.raises(AssertionError, match="silence"):
        await stays(lambda: next(values), for_s=1, what="silence")


def test_free_ports_differ_and_nobody_listens() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    assert not accepts(ports[0])


async def test_child_output_and_exit_code(tmp_path: Path) -> None:
    script = "import sys; print('hello', flush=True); sys.exit(3)"
    process = Child.spawn([sys.executable, "-c", script], log=tmp_path / "log")
    assert await process.exited() == 3
    assert process.lines == ["hello"]


async def test_child_that_ends_early_is_told_with_its_output(tmp_path: Path) -> None:
    process = Child.spawn([sys.executable, "-c", "print('no luck')"], log=tmp_path / "log")
    with pytest.raises(AssertionError, match="no luck"):
        await process.printed("ready")


async def test_orphan_is_found_by_its_mark(tmp_path: Path) -> None:
    mark = new_mark()
    script = "sleep 60 & echo started; wait"
    async with child(["bash", "-c", script], log=tmp_path / "log", env=mark) as process:
        await process.printed("started")
        assert len(descendants(process.pid)) == 1
        await process.kill()
        orphans = marked(mark)
        assert [orphan.name() for orphan in orphans] == ["sleep"]
        await kill_all(orphans)
    assert marked(mark) == []


def test_wrong_log_format_is_found_below_the_root_level() -> None:
    with checked_formats() as check:
        logging.getLogger("ccm_kit.sample").debug("%d devices", 3)
        assert check.faults == []
        check.handle(logging.LogRecord("ccm_kit", logging.DEBUG, "a.py", 7, "%d devices", ("x",), None))
    assert check.faults
    assert check.faults[0].startswith("a.py:7: '%d devices' % ('x',)")
