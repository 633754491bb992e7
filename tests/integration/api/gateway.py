"""The api service in this process over a real NATS server and real HTTP, and the other services' side of the bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from ccm_api.service import main
from ccm_contracts.channels import Service
from ccm_contracts.config.document import SECTIONS
from ccm_contracts.messages import Balance, Reading
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from ccm_kit.secrets import SecretBox
from ccm_kit.service import Context
from ccm_kit.settings import settings_from
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.wait import LEAST_S, until

SERIAL = "CCM000123"
PASSWORD = "a long test secret"
SITE: dict[str, Any] = {
    "gateway": {"serial": SERIAL, "model": "pro", "alias": "Roof house"},
    "ports": [{"id": "native", "kind": "rs485", "path": "/dev/ttyT0", "role": "native"}],
    "devices": [
        {"id": "grid", "port": "native", "model": "energyccm/ccm4", "unit": 1, "alias": "Grid", "poll_s": 1},
        {"id": "roof", "host": "192.0.2.7", "model": "sunspec/inverter", "unit": 1, "poll_s": 60},
    ],
    "plants": [{"id": "house", "production": ["roof"], "grid": ["grid"]}],
    "mqtt": {"host": "mqtt://127.0.0.1", "user": "u", "password": "broker secret"},
}


@dataclass
class Gateway:
    """What a test holds: the HTTP side (`http` is not signed in) and the bus side."""

    http: httpx.AsyncClient
    bus: Bus
    box: SecretBox
    context: Context
    url: str

    async def write(self, section: str, value: Any) -> int:
        """Store a section as `ccmaster config import` does."""
        parsed = SECTIONS[section].validate_python(value)
        return await self.bus.write_config(section, parsed, seal=self.box.seal)

    async def sign_in(self, user: str = "admin", password: str = PASSWORD) -> dict[str, str]:
        """Headers with a token."""
        answer = await self.http.post("/session", json={"user": user, "password": password})
        assert answer.status_code == 200, answer.text
        self.http.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    async def got(self, path: str, headers: dict[str, str], status: int = 200) -> Any:
        """The JSON of `path` once it has that status."""

        async def asked() -> httpx.Response | None:
            answer = await self.http.get(path, headers=headers)
            return answer if answer.status_code == status else None

        answer = await until(asked, deadline_s=5, what=f"{status} from {path}")
        assert answer is not None
        return answer.json()


def reading(seq: int = 1, *, device: str = "grid", ts: datetime | None = None, **values: Any) -> Reading:
    stamp = ts or SystemClock().now()
    return Reading(
        gateway=SERIAL, device=device, ts=stamp, values=values or {"v1": 230.1, "p": -500}, seq=seq
    )


def balance(ts: datetime | None = None) -> Balance:
    """The manual's figures in spirit: 3 kW from the roof, 1 kW of it exported (section 7)."""
    return Balance(
        gateway=SERIAL,
        plant="house",
        ts=ts or SystemClock().now(),
        p_prod=3000,
        p_grid=-1000,
        p_load=2000,
        p_self=2000,
        p_exp=1000,
        p_imp=0,
    )


def ago(seconds: float) -> datetime:
    return SystemClock().now() - timedelta(seconds=seconds)


@asynccontextmanager
async def bus_of(nats: NatsServer, service: Service) -> AsyncIterator[Bus]:
    """Another service's access to the bus."""
    link = NatsLink(nats.url, user="", password="", name=service)
    async with (
        link,
        open_bus(link, service=service, gateway=SERIAL, clock=SystemClock(), version="0.0.0") as bus,
    ):
        yield bus


@asynccontextmanager
async def gateway(
    nats: NatsServer, data_dir: Path, *, site: dict[str, Any] | None = None, admin_password: str = PASSWORD
) -> AsyncIterator[Gateway]:
    """The service, ready; `site` is stored before it starts."""
    port = free_port()
    settings = settings_from(
        "api",
        {
            "CCM_DATA_DIR": str(data_dir),
            "CCM_GATEWAY": SERIAL,
            "CCM_NATS_URL": nats.url,
            "CCM_HTTP_HOST": "127.0.0.1",
            "CCM_HTTP_PORT": str(port),
            "CCM_ADMIN_PASSWORD": admin_password,
        },
    )
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        box = SecretBox(settings.secret_key_file)
        other = await stack.enter_async_context(bus_of(nats, "bus-reader"))
        own = await stack.enter_async_context(bus_of(nats, "api"))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=LEAST_S))
        context = Context(settings, own, SystemClock(), box, "0")
        made = Gateway(http, other, box, context, url)
        for section, value in (SITE if site is None else site).items():
            await made.write(section, value)
        task = asyncio.create_task(main(context), name="api under test")
        try:
            await until(lambda: _is_ready(made, task), deadline_s=10, what="the api to be ready")
            yield made
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=LEAST_S)
            assert task.done(), "the api did not stop"


async def _is_ready(made: Gateway, task: "asyncio.Task[None]") -> bool:
    if task.done():
        task.result()
    try:
        answer = await made.http.get("/health/ready")
    except httpx.TransportError:
        return False
    return answer.status_code == 200
