"""The whole gateway as `ccmaster` runs it, on free ports, with a signed-in REST client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.wait import LEAST_S, until_sync

CCMASTER = Path(sys.executable).with_name("ccmaster")
PASSWORD = "a-test-password-1"
START_S = 40.0


@dataclass
class Gateway:
    """A running gateway: its ports, its processes, its REST interface."""

    child: Child
    data_dir: Path
    ports: dict[str, int]
    client: httpx.Client = field(repr=False)

    def pid_of(self, part: str) -> int | None:
        """The process of `nats` or of a service, while it runs."""
        mark = "nats-server" if part == "nats" else f"ccm_{part.replace('-', '_')}"
        for process in psutil.Process(self.child.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if any(word.endswith(mark) for word in words):
                return process.pid
        return None

    def sign_in(self) -> None:
        def signed_in() -> bool:
            try:
                answer = self.client.post("/session", json={"user": "admin", "password": PASSWORD})
            except httpx.TransportError:
                return False
            return answer.is_success

        until_sync(
            signed_in, deadline_s=START_S, what=f"sign-in; it printed:\n{self.child.output}", interval_s=0.2
        )

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON, or None while there is none (503, 404, not reachable)."""
        try:
            answer = self.client.get(path, params=query)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def told(self, path: str, **query: Any) -> Any:
        """The answer's JSON, once there is one."""
        return until_sync(lambda: self.get(path, **query), deadline_s=10, what=path)

    def admin_password(self) -> str:
        """The operator's own NATS password."""
        return (self.data_dir / "nats" / "admin.password").read_text().strip()

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.ports['NATS']}"


def free_environment() -> tuple[dict[str, int], dict[str, str]]:
    """Free ports, and the environment that makes `ccmaster` use them."""
    ports = {name: free_port() for name in ("HTTP", "NATS", "MQTT")}
    env = {f"CCM_{name}_PORT": str(port) for name, port in ports.items()}
    return ports, {**env, "CCM_ADMIN_PASSWORD": PASSWORD, "CCM_HTTP_HOST": "127.0.0.1"}


@contextmanager
def gateway(arguments: list[str], data_dir: Path, log: Path) -> Iterator[Gateway]:
    """`ccmaster ARGUMENTS --data-dir DATA_DIR`, signed in; stopped with SIGINT as by Ctrl-C."""
    ports, env = free_environment()
    child = Child.spawn([CCMASTER, *arguments, "--data-dir", data_dir], log=log, env=env)
    client = httpx.Client(base_url=f"http://127.0.0.1:{ports['HTTP']}/api/v1", timeout=LEAST_S)
    running = Gateway(child, data_dir, ports, client)
    try:
        running.sign_in()
        yield running
    finally:
        client.close()
        child.signal(2)
        until_sync(lambda: not child.is_running, deadline_s=40, what="the gateway to end")


@contextmanager
def demo_that_reads(directory: Path) -> Iterator[Gateway]:
    """The demo, once all its devices answer, and what asks for their history is answered."""
    with gateway(["demo"], directory / "data", directory / "demo.log") as running:
        until_sync(
            lambda: all_are_online(running.get("/devices")),
            deadline_s=30,
            what="the devices to answer",
        )
        until_sync(
            lambda: running.client.get("/delivery").status_code == 200, deadline_s=30, what="uplink to answer"
        )
        yield running


def all_are_online(found: Any) -> bool:
    """Whether the answer of `/devices` is there and has devices, all of them read."""
    return bool(found and found["devices"]) and all(each["online"] for each in found["devices"])


def ccmaster(
    *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """One call of the command line, at most a minute long."""
    return subprocess.run(
        [str(CCMASTER), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=LEAST_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def written(path: Path, document: Any) -> Path:
    """A site file; JSON is YAML too."""
    path.write_text(json.dumps(document, indent=2))
    return path
