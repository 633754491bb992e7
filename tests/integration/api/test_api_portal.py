"""The portal's files: what is served, with which headers, and what never is."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from ccm_api.web import Portal
from tests.integration.api.gateway import Gateway


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A built portal, called without a server."""
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<title>portal</title>")
    (built / "assets/app-1a2b.js").write_text("start()")
    (tmp_path / "secret.txt").write_text("secret")
    (built / "link.txt").symlink_to(tmp_path / "secret.txt")
    async with _client(Portal(built)) as client:
        yield client


def _client(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway.test")


async def test_assets_are_kept_for_ever_and_the_index_is_not(portal: httpx.AsyncClient) -> None:
    asset = await portal.get("/assets/app-1a2b.js")
    assert (asset.text, asset.headers["cache-control"]) == (
        "start()",
        "public, max-age=31536000, immutable",
    )
    for path in ("/", "/index.html", "/devices/grid"):
        index = await portal.get(path)
        assert (index.text, index.headers["cache-control"]) == ("<title>portal</title>", "no-cache")


@pytest.mark.parametrize(
    "path",
    ["/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/link.txt", "/missing.js", "/a%00.js", "/api/x"],
)
async def test_nothing_outside_the_portal_is_served(portal: httpx.AsyncClient, path: str) -> None:
    answer = await portal.get(path)
    assert "secret" not in answer.text
    assert answer.status_code != 200


async def test_missing_portal_is_explained(tmp_path: Path) -> None:
    async with _client(Portal(tmp_path)) as client:
        answer = await client.get("/")
    assert answer.status_code == 503
    assert "make install" in answer.text


async def test_every_answer_carries_the_security_headers(gw: Gateway) -> None:
    for path in ("/", "/devices", "/api/v1/devices", "/api/v1/health/live"):
        answer = await gw.http.get(gw.url + path)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert (await gw.http.get("/health/live")).headers["cache-control"] == "no-store"
