"""The api service as a process: `kill -9`, SIGTERM, and a port that somebody else has."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.document import SECTIONS
from ccm_kit.secrets import SecretBox
from tests.integration.api.gateway import PASSWORD, SERIAL, SITE, bus_of, reading
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.wait import LEAST_S, until

START_S = 15.0


def _environment(nats: NatsServer, data_dir: Path, port: int) -> dict[str, str]:
    return {
        "CCM_DATA_DIR": str(data_dir),
        "CCM_GATEWAY": SERIAL,
        "CCM_NATS_URL": nats.url,
        "CCM_HTTP_HOST": "127.0.0.1",
        "CCM_HTTP_PORT": str(port),
        "CCM_ADMIN_PASSWORD": PASSWORD,
    }


@asynccontextmanager
async def _process(nats: NatsServer, tmp_path: Path, port: int) -> AsyncIterator[Child]:
    child = Child.spawn(
        [sys.executable, "-m", "ccm_api"],
        log=tmp_path / f"api-{port}.log",
        env=_environment(nats, tmp_path / "data", port),
    )
    try:
        yield child
    finally:
        await child.stop()


async def _ready(http: httpx.AsyncClient) -> None:
    async def is_ready() -> bool:
        try:
            return (await http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await until(is_ready, deadline_s=START_S, what="the api to be ready")


async def test_session_and_values_survive_kill_9(nats: NatsServer, tmp_path: Path) -> None:
    port = free_port()
    async with bus_of(nats, "bus-reader") as bus, httpx.AsyncClient(timeout=LEAST_S) as http:
        http.base_url = httpx.URL(f"http://127.0.0.1:{port}/api/v1")
        box = SecretBox(tmp_path / "data/secret.key")
        for section, value in SITE.items():
            await bus.write_config(section, SECTIONS[section].validate_python(value), seal=box.seal)
        await bus.publish(TELEMETRY, reading(5), device="grid")
        async with _process(nats, tmp_path, port) as child:
            await _ready(http)
            answer = await http.post("/session", json={"user": "admin", "password": PASSWORD})
            assert answer.status_code == 200
            await child.kill()
        async with _process(nats, tmp_path, port) as child:
            await _ready(http)

            async def has_data() -> bool:
                return (await http.get("/devices/grid/data")).status_code == 200

            await until(has_data, deadline_s=5, what="the reading from before")
            await child.stop()
            assert child.returncode == 0
            assert "Traceback" not in child.output


async def test_port_in_use_is_one_clear_line_and_exit_2(nats: NatsServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with _process(nats, tmp_path, port) as child:
            await until(lambda: not child.is_running, deadline_s=START_S, what="the api to give up")
            assert child.returncode == 2
            assert f"port {port} is in use: set CCM_HTTP_PORT" in child.output
            assert "Traceback" not in child.output
