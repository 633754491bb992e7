"""Sign-in: who gets in, who does not, and when a session ends."""

import re
from pathlib import Path

import httpx
import pytest

from ccm_api.app import openapi_document
from ccm_contracts.channels import EVENT
from tests.integration.api.gateway import PASSWORD, SITE, Gateway, gateway
from tests.support.nats import NatsServer
from tests.support.wait import until

NEW = "another long secret"
PUBLIC = {("post", "/api/v1/session"), ("get", "/api/v1/health/live"), ("get", "/api/v1/health/ready")}


async def _events(gw: Gateway, kind: str) -> list[dict[str, object]]:
    event = await gw.bus.last(EVENT, source="api", kind=kind)
    return [event.model_dump()] if event else []


async def test_sign_in_gives_token_and_guarded_cookie(gw: Gateway) -> None:
    answer = await gw.http.post("/session", json={"user": "admin", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["role"] == "admin"
    assert answer.json()["must_change_password"] is False
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert (await gw.http.get("/session")).json()["user"] == "admin"
    event = await until(lambda: _events(gw, "signed-in"), deadline_s=5, what="the event")
    assert event[0]["data"]["user"] == "admin"  # type: ignore[index]


async def test_wrong_sign_in_is_401_then_429_and_never_shows_the_password(gw: Gateway) -> None:
    wrong = {"user": "admin", "password": "not-the-password"}
    for _ in range(5):
        answer = await gw.http.post("/session", json=wrong)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    blocked = await gw.http.post("/session", json={"user": "admin", "password": PASSWORD})
    assert blocked.status_code == 429
    assert 1 <= int(blocked.headers["retry-after"]) <= 60
    event = await until(lambda: _events(gw, "sign-in-failed"), deadline_s=5, what="the event")
    assert "not-the-password" not in str(event)
    assert event[0]["data"]["user"] == "admin"  # type: ignore[index]


async def test_nothing_but_the_public_paths_answers_without_sign_in(gw: Gateway) -> None:
    for path, operations in openapi_document()["paths"].items():
        real = path.replace("{section}", "mqtt").replace("{brand}/{model}", "a/b")
        for name in ("device", "plant", "port", "output"):
            real = real.replace("{" + name + "}", "grid")
        for method in ("get", "put", "post", "delete", "patch", "head"):
            if (method, path) in PUBLIC:
                continue
            answer = await gw.http.request(method, gw.url + real, content=b"{not json")
            assert answer.status_code == 401, (method, path)
            bad = {"Authorization": "Bearer bm90.YQ"}
            assert (await gw.http.request(method, gw.url + real, headers=bad)).status_code == 401
        assert operations
    for path in ("/api", "/api/v1/openapi.json", "/api/v1/docs", "/api/v1/docs/reference.js", "/api/v2/x"):
        assert (await gw.http.get(gw.url + path)).status_code == 401, path


async def test_factory_sign_in_is_good_only_for_a_new_password(nats: NatsServer, tmp_path: Path) -> None:
    async with gateway(nats, tmp_path / "data", admin_password="") as gw:
        answer = await gw.http.post("/session", json={"user": "admin", "password": "admin"})
        assert answer.json()["must_change_password"] is True
        gw.http.cookies.clear()
        old = {"Authorization": f"Bearer {answer.json()['token']}"}
        refused = await gw.http.get("/devices", headers=old)
        assert refused.status_code == 403
        assert refused.json()["type"].endswith(":must-change-password")
        weak = await gw.http.post("/session/password", headers=old, json={"old": "admin", "new": "short"})
        assert (weak.status_code, weak.json()["field"]) == (422, "new")
        changed = await gw.http.post("/session/password", headers=old, json={"old": "admin", "new": NEW})
        assert changed.status_code == 200, changed.text
        new = {"Authorization": f"Bearer {changed.json()['token']}"}
        gw.http.cookies.clear()
        assert (await gw.http.get("/devices", headers=new)).status_code == 200
        assert (await gw.http.get("/session", headers=old)).status_code == 401
        again = await gw.http.post("/session", json={"user": "admin", "password": "admin"})
        assert again.status_code == 401
        await gw.sign_in("admin", NEW)
        stored = await gw.got("/config/security", new)
        assert stored["users"][0]["password_hash"] == "********"


async def test_password_from_the_environment_ends_with_the_first_configured_user(gw: Gateway) -> None:
    headers = await gw.sign_in()
    body = {"old": PASSWORD, "new": NEW}
    assert (await gw.http.post("/session/password", headers=headers, json=body)).status_code == 200
    gw.http.cookies.clear()
    refused = await gw.http.post("/session", json={"user": "admin", "password": PASSWORD})
    assert refused.status_code == 401


async def test_sign_out_ends_the_token_also_after_a_restart(nats: NatsServer, tmp_path: Path) -> None:
    async with gateway(nats, tmp_path / "data") as gw:
        kept, ended = await gw.sign_in(), await gw.sign_in()
        assert (await gw.http.delete("/session", headers=ended)).status_code == 204
        assert (await gw.http.get("/session", headers=ended)).status_code == 401
    async with gateway(nats, tmp_path / "data", site={}) as gw:
        assert (await gw.http.get("/session", headers=ended)).status_code == 401
        assert (await gw.http.get("/session", headers=kept)).status_code == 200
    assert (tmp_path / "data/api/session.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 204),
    ],
)
async def test_cookie_mutation_from_elsewhere_is_refused(
    gw: Gateway, headers: dict[str, str], status: int
) -> None:
    await gw.http.post("/session", json={"user": "admin", "password": PASSWORD})
    assert (await gw.http.delete("/session", headers=headers)).status_code == status


async def test_viewer_reads_and_every_mutation_is_refused(gw: Gateway) -> None:
    admin = await gw.sign_in()
    users = [
        {"name": "chief", "role": "admin", "password_hash": PASSWORD},
        {"name": "guest", "role": "viewer", "password_hash": NEW},
        {"name": "hand", "role": "operator", "password_hash": NEW},
    ]
    put = await gw.http.put("/config/security", headers=admin | {"If-Match": '"0"'}, json={"users": users})
    assert put.status_code == 200, put.text
    assert PASSWORD not in put.text
    guest, hand = await gw.sign_in("guest", NEW), await gw.sign_in("hand", NEW)
    assert (await gw.http.get("/devices", headers=guest)).status_code == 200
    bodies = {
        "/devices/grid/commands": {"name": "x", "value": 1},
        "/outputs/relay-1": {"value": 1},
        "/button": {"duration_s": 1},
        "/config/mqtt": {},
    }
    for path, operations in openapi_document()["paths"].items():
        for method in set(operations) - {"get"}:
            if "/session" in path:
                continue
            real = path.removeprefix("/api/v1").replace("{device}", "grid").replace("{section}", "mqtt")
            real = re.sub(r"{\w+}", "native", real.replace("{output}", "relay-1"))
            answer = await gw.http.request(method, real, headers=guest, json=bodies.get(real, {}))
            assert answer.status_code == 403, (method, path)
    for path in ("/config", "/config/mqtt"):
        assert (await gw.http.get(path, headers=hand)).status_code == 403


async def test_unreadable_user_list_opens_no_door(nats: NatsServer, tmp_path: Path) -> None:
    site = {**SITE, "security": {"users": [{"name": "chief", "role": "admin", "password_hash": PASSWORD}]}}
    async with gateway(nats, tmp_path / "data", site=site, admin_password="") as gw:
        assert (
            await gw.http.post("/session", json={"user": "admin", "password": "admin"})
        ).status_code == 401
    (tmp_path / "data/secret.key").unlink()
    async with gateway(nats, tmp_path / "data", site={}, admin_password="") as gw:
        answer = await gw.http.post("/session", json={"user": "admin", "password": "admin"})
        gw.http.cookies.clear()
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        changed = await gw.http.post("/session/password", headers=headers, json={"old": "admin", "new": NEW})
        assert changed.status_code == 409
        assert (await gw.http.get("/devices", headers=headers)).status_code == 403


async def test_body_over_the_limit_is_413(gw: Gateway) -> None:
    headers = await gw.sign_in()
    huge = await gw.http.put("/outputs/relay-1", headers=headers, content=b"x" * (1024 * 1024 + 1))
    assert huge.status_code == 413
    assert huge.headers["content-type"] == "application/problem+json"

    async def chunks() -> object:
        for _ in range(20):
            yield b"x" * 65536

    typed = headers | {"Content-Type": "application/json"}
    try:
        streamed = await gw.http.put("/outputs/relay-1", headers=typed, content=chunks())  # type: ignore[arg-type]
    except httpx.WriteError:
        return  # the server answered and hung up before all was sent
    assert streamed.status_code == 413
