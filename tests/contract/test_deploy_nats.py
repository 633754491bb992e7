"""deploy/nats/watched.sh with a real server whose disk is full for a while."""

import os
import signal
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import nats
import pytest
from nats.errors import TimeoutError as NoReplyError

from ccmaster.broker import accepts, server_binary
from ccmaster.bus_watch import BusWatch, monitoring_port, write_error
from tests.support.disk import fill, small_disk
from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.wait import until

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "nats" / "watched.sh"
MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24 * MIB):
        yield tmp_path / "disk"


class Watched:
    """The script around a server with one stream, on ports of its own."""

    def __init__(self, disk: Path, tmp_path: Path) -> None:
        self.disk = disk
        self.port, self.monitor = free_port(), free_port()
        config = tmp_path / "nats.conf"
        config.write_text(
            f'listen: 127.0.0.1:{self.port}\nhttp: "127.0.0.1:{self.monitor}"\nports_file_dir: "{tmp_path}"\n'
            f'jetstream {{ store_dir: "{disk}", sync_interval: always }}\n'
        )
        env = {
            **os.environ,
            "CCM_NATS_SERVER": server_binary(),
            "CCM_NATS_CHECK": f"{sys.executable} -m ccmaster.bus_watch {self.monitor}",
            "CCM_NATS_CHECK_S": "0.2",
            "CCM_NATS_DATA": str(disk),
        }
        self.child = Child.spawn(["/bin/sh", SCRIPT, "--config", config], log=tmp_path / "log", env=env)

    async def answers(self) -> None:
        await until(lambda: accepts(self.port), deadline_s=10, what="the server")

    async def refuses(self) -> bool:
        return not await _takes(self.port)

    async def end(self) -> None:
        if self.child.is_running:
            self.child.signal(signal.SIGTERM)
            await self.child.exited(deadline_s=10)

    def server_pids(self, directory: Path) -> list[int]:
        return [int(file.stem.rpartition("_")[2]) for file in directory.glob("*.ports")]


async def _takes(port: int) -> bool:
    """Whether the stream takes a message; makes it, too."""
    link = await nats.connect(f"nats://127.0.0.1:{port}")
    try:
        stream = link.jetstream(timeout=1)
        await stream.add_stream(name="T", subjects=["t"])
        await stream.publish("t", bytes(5000))
    except NoReplyError:
        return False
    finally:
        await link.close()
    return True


async def test_server_that_cannot_write_ends_once_there_is_room(disk: Path, tmp_path: Path) -> None:
    watched = Watched(disk, tmp_path)
    try:
        await watched.answers()
        assert await _takes(watched.port)
        assert write_error(watched.monitor) is None
        fill(disk / "other")
        await until(watched.refuses, deadline_s=20, what="a full disk to be noticed")
        assert write_error(watched.monitor) == "no space left on device"
        assert watched.child.is_running
        (disk / "other").unlink()
        assert await watched.child.exited(deadline_s=20) == 1
        assert not accepts(watched.port)
        assert "it starts anew" in watched.child.output
    finally:
        await watched.end()


async def test_term_ends_the_server_too(disk: Path, tmp_path: Path) -> None:
    watched = Watched(disk, tmp_path)
    await watched.answers()
    await watched.end()
    assert not accepts(watched.port)


async def test_watch_tells_a_failure_once(disk: Path, tmp_path: Path) -> None:
    watched = Watched(disk, tmp_path)
    try:
        await watched.answers()
        await until(lambda: watched.server_pids(tmp_path), deadline_s=10, what="its ports file")
        (pid,) = watched.server_pids(tmp_path)
        assert monitoring_port(tmp_path, pid) == watched.monitor
        watch = BusWatch(tmp_path)
        assert watch.look(pid, 0.0) is None
        assert await _takes(watched.port)
        fill(disk / "other")
        await until(watched.refuses, deadline_s=20, what="a full disk to be noticed")
        moments = count(10.0, 10.0)
        told = await until(lambda: watch.look(pid, next(moments)), deadline_s=20, what="the watch to tell")
        assert told == "no space left on device"
        assert watch.look(pid, next(moments)) is None
        assert watch.is_failing
    finally:
        await watched.end()
