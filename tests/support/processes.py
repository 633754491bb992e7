"""Child processes with their output in a file, ended by pid; who is left over."""

import os
import re
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.support.wait import until

MARK = "CCM_TEST_MARK"


class Child:
    """A running child process; stdout and stderr go to `log`, appended to by a later process."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path, offset: int) -> None:
        self._popen = popen
        self._offset = offset
        self.log = log

    @classmethod
    def spawn(
        cls,
        args: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "Child":
        """Start a program in its own session. `env` is added to this process' environment."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            offset = sink.tell()
            popen = subprocess.Popen(
                [str(arg) for arg in args],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        return cls(popen, log, offset)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        return self.returncode is None

    @property
    def output(self) -> str:
        """What it printed so far, stdout and stderr together."""
        with self.log.open("rb") as source:
            source.seek(self._offset)
            return source.read().decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()

    def signal(self, number: int) -> None:
        """Send a signal to this process; nothing when it has ended."""
        if self.is_running:
            self._popen.send_signal(number)

    async def exited(self, *, deadline_s: float = 10) -> int:
        """The exit code, once it has ended."""
        await until(lambda: not self.is_running, deadline_s=deadline_s, what=f"the end of {self}")
        assert self.returncode is not None
        return self.returncode

    async def printed(self, pattern: str, *, deadline_s: float = 10) -> "re.Match[str]":
        """The first match of `pattern` in the output; AssertionError with the output when it ends before."""
        regex = re.compile(pattern, re.MULTILINE)

        def seen() -> "re.Match[str] | None":
            is_running = self.is_running
            match = regex.search(self.output)
            assert match or is_running, f"{self} ended before it printed {pattern!r}:\n{self.output}"
            return match

        match = await until(seen, deadline_s=deadline_s, what=f"{pattern!r} from {self}")
        assert match
        return match

    async def stop(self, *, deadline_s: float = 10) -> int:
        """SIGTERM, then SIGKILL at the deadline; the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return await self.exited(deadline_s=deadline_s)
        except AssertionError:
            return await self.kill()

    async def kill(self) -> int:
        """SIGKILL; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        return await self.exited()

    def __str__(self) -> str:
        args = self._popen.args
        name = Path(args[0]).name if isinstance(args, list) else str(args)
        return f"{name} (pid {self.pid})"


@asynccontextmanager
async def child(
    args: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline_s: float = 10,
) -> AsyncIterator[Child]:
    """A child process that is stopped at the end, and killed with its descendants when it does not stop."""
    process = Child.spawn(args, log=log, env=env, cwd=cwd)
    try:
        yield process
    finally:
        family = descendants(process.pid)
        await process.stop(deadline_s=deadline_s)
        await kill_all(family)


def descendants(pid: int) -> list[psutil.Process]:
    """The living children of a process, and theirs; empty when it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def new_mark() -> dict[str, str]:
    """An environment entry by which `marked` finds a process' whole family, orphans included."""
    return {MARK: uuid.uuid4().hex}


def marked(mark: Mapping[str, str]) -> list[psutil.Process]:
    """The living processes that inherited the mark."""
    return [process for process in psutil.process_iter() if is_alive(process) and _carries(process, mark)]


async def kill_all(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL each of these processes, by pid, and wait until they are gone."""
    for process in processes:
        if is_alive(process):
            process.kill()
    await until(
        lambda: not any(map(is_alive, processes)), deadline_s=10, what=f"the end of {list(processes)}"
    )


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _carries(process: psutil.Process, mark: Mapping[str, str]) -> bool:
    try:
        return process.environ().get(MARK) == mark[MARK]
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False
