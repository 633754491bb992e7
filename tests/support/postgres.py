"""A PostgreSQL cluster of its own on a free port, from Debian's binaries."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.peers import need
from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.wait import until

USER = "ccm"


class Postgres:
    """One cluster: port and data stay the same across `kill` and `start`. Every connection is trusted."""

    def __init__(
        self, binaries: Path, directory: Path, port: int, database: str, preload: str | None = None
    ) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.user = USER
        self.database = database
        self.directory = directory
        self._binaries = binaries
        self._preload = preload
        self._child: Child | None = None

    def url(self, driver: str = "postgresql") -> str:
        """An SQLAlchemy or libpq address; `driver` is for example "postgresql+psycopg"."""
        return f"{driver}://{self.user}@{self.host}:{self.port}/{self.database}"

    def another(self, name: str, driver: str = "postgresql") -> str:
        """Make one more empty database; its address."""
        args = ["createdb", "-h", self.host, "-p", str(self.port), "-U", self.user, name]
        subprocess.run([str(self._binaries / args[0]), *args[1:]], check=True)
        return f"{driver}://{self.user}@{self.host}:{self.port}/{name}"

    @property
    def pid(self) -> int:
        assert self._child, "the server was not started"
        return self._child.pid

    @property
    def log(self) -> str:
        return self._child.output if self._child else ""

    async def create(self) -> None:
        """initdb, start, and one empty database."""
        args = ["initdb", "-D", str(self._data), "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8"]
        await self._done([*args, "--locale=C"])
        await self.start()
        await self._done(["createdb", "-h", self.host, "-p", str(self.port), "-U", USER, self.database])

    async def start(self) -> None:
        """Run the server; returns when it answers."""
        # fsync off: what a killed process wrote is still in the page cache, only a power cut would lose it.
        args = ["postgres", "-D", str(self._data), "-p", str(self.port), "-h", self.host]
        args += ["-k", str(self.directory), "-c", "fsync=off"]
        if self._preload:
            args += ["-c", f"shared_preload_libraries={self._preload}"]
        self._child = self._spawn(args)
        await until(self._answers, deadline_s=20, what=f"PostgreSQL on port {self.port}")

    async def stop(self) -> None:
        """End the server at once but in good order (fast shutdown)."""
        if self._child:
            self._child.signal(signal.SIGINT)
            await self._child.exited(deadline_s=20)

    async def kill(self) -> None:
        """SIGKILL the server; returns when it is gone."""
        if self._child:
            await self._child.kill()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _answers(self) -> bool:
        assert self._child
        assert self._child.is_running, f"PostgreSQL ended:\n{self.log}"
        args = [str(self._binaries / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(args, check=False).returncode == 0

    async def _done(self, args: list[str]) -> None:
        process = self._spawn(args)
        status = await process.exited(deadline_s=60)
        assert status == 0, f"{args[0]}: {process.output}"

    def _spawn(self, args: list[str]) -> Child:
        command = [str(self._binaries / args[0]), *args[1:]]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        return Child.spawn(command, log=self.directory / f"{args[0]}.log", cwd=self.directory)


def has_timescaledb() -> bool:
    """Whether the extension is installed for the PostgreSQL that the tests run."""
    config = need("postgres").parent / "pg_config"
    shared = subprocess.run([config, "--sharedir"], check=True, capture_output=True, text=True).stdout.strip()
    return (Path(shared) / "extension" / "timescaledb.control").exists()


def timescaledb_server() -> AbstractAsyncContextManager[Postgres]:
    """A cluster with TimescaleDB; skips without the extension, also with CI=true, for Debian does not have it."""
    if not has_timescaledb():
        pytest.skip(
            "PostgreSQL has no TimescaleDB here (no package of Debian); ends when CCM_TEST_POSTGRES names the folder "
            "of a PostgreSQL that has it"
        )
    return postgres_server(preload="timescaledb")


@asynccontextmanager
async def postgres_server(
    *, database: str = "ccm", port: int | None = None, preload: str | None = None
) -> AsyncIterator[Postgres]:
    """A running cluster with one empty database; skips without PostgreSQL.

    `preload` names a library, for example `timescaledb`.
    """
    binaries = need("postgres").parent
    # Not below pytest's own folder, which only its owner may enter.
    directory = Path(tempfile.mkdtemp(prefix="ccm-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        server = Postgres(binaries, directory, port or free_port(), database, preload)
        try:
            await server.create()
            yield server
        finally:
            await server.stop()
    finally:
        shutil.rmtree(directory)
