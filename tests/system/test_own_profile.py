"""A device profile of the site's own, and a host without a device, over REST on the running gateway."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway, demo_that_reads
from tests.support.wait import until_sync
from tests.system.profile_text import PROFILE

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with demo_that_reads(tmp_path_factory.mktemp("profiles")) as running:
        yield running


def put(demo: Gateway, name: str, text: str, tag: str | None = None, **query: Any) -> httpx.Response:
    headers = {"Content-Type": "application/yaml"} | ({"If-Match": tag} if tag else {})
    return demo.client.put(f"/profiles/{name}", content=text, headers=headers, params=query)


def patch(demo: Gateway, device: str, **change: Any) -> None:
    done = demo.client.patch(f"/devices/{device}", json=change, headers={"If-Match": "*"})
    assert done.status_code == 200, done.text


def test_profile_is_read_by_at_once_replaced_and_removed(demo: Gateway) -> None:
    stored = put(demo, "acme", PROFILE)
    assert (stored.status_code, stored.json()["models"]) == (201, ["acme/x3"])
    assert demo.told("/catalog/acme/x3")["own"] is True
    patch(demo, "house", model="acme/x3")

    def values() -> Any:
        data = demo.get("/devices/house/data")
        return data["values"] if data and data["quality"] == "good" else None

    only: Any = until_sync(
        lambda: set(found := values() or ()) == {"v1"} and found,
        deadline_s=15,
        what="a reading by the new profile",
    )
    assert 200 < only["v1"]["value"] < 260
    wider = PROFILE.replace("models:", "  - {metric: v2, address: 2}\nmodels:")
    assert put(demo, "acme", wider).status_code == 428
    assert put(demo, "acme", wider, tag='"0123"').status_code == 412
    again = put(demo, "acme", wider, tag=stored.headers["etag"])
    assert again.status_code == 200, again.text
    until_sync(lambda: set(values() or ()) == {"v1", "v2"}, deadline_s=15, what="a reading by the wider one")
    shown = demo.client.get("/profiles/acme")
    assert (shown.text, shown.headers["etag"]) == (wider, again.headers["etag"])
    tag = {"If-Match": again.headers["etag"]}
    needed = demo.client.delete("/profiles/acme", headers=tag)
    assert (needed.status_code, needed.json()["detail"]) == (
        409,
        "is needed by house (acme/x3): remove that first",
    )
    patch(demo, "house", model="eastron/sdm630")
    assert demo.client.delete("/profiles/acme").status_code == 428
    until_sync(
        lambda: demo.client.delete("/profiles/acme", headers=tag).status_code == 204,
        deadline_s=10,
        what="the profile to be needed no more",
    )
    assert demo.client.get("/profiles/acme").status_code == 404
    assert demo.client.get("/catalog/acme/x3").status_code == 404


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("metric: v1", "metric: volts", 10, "points[0].metric"),
        ("address: 0", "address: 70000", 10, "points[0].address"),
        ("type: meter", "type: toaster", 3, "type"),
        ("source:", "sauce:", 6, "sauce"),
        ("points:", "points: [", 10, None),
        ("id: x3", "id: X 3", 12, "models[0].id"),
    ],
)
def test_faulty_profile_is_refused_with_line_and_field(
    demo: Gateway, old: str, new: str, line: int, field: str | None
) -> None:
    refused = put(demo, "faulty", PROFILE.replace(old, new))
    told = refused.json()
    assert refused.status_code == 422, refused.text
    told_of = {each["field"] or None: each["message"] for each in told["errors"]}
    assert told_of[field].startswith(f"line {line}: "), told
    assert told["detail"].startswith("line ")
    assert "\n" not in told["detail"]
    assert demo.told("/profiles")["profiles"] == []


def test_built_in_model_is_replaced_only_when_that_is_said(demo: Gateway) -> None:
    text = PROFILE.replace("brand: acme", "brand: eastron").replace("id: x3", "id: sdm630")
    refused = put(demo, "mine", text)
    assert (refused.status_code, refused.json()["field"]) == (422, "models[0].id")
    assert "line 12: models[0].id: eastron/sdm630 is a built-in model" in refused.json()["detail"]
    stored = put(demo, "mine", text, override=True)
    assert (stored.status_code, stored.json()["replaces"]) == (201, ["eastron/sdm630"])
    twice = put(demo, "other", text, override=True)
    assert "is in uploaded/mine.yaml already" in twice.json()["detail"]
    removed = demo.client.delete("/profiles/mine", headers={"If-Match": stored.headers["etag"]})
    assert removed.status_code == 204
    assert demo.told("/catalog/eastron/sdm630")["own"] is False


def test_host_without_a_device_is_searched(demo: Gateway) -> None:
    barn = next(each for each in demo.told("/devices")["devices"] if each["host"])
    where = {"host": barn["host"], "tcp_port": barn["tcp_port"]}
    known = demo.client.post("/ports/host/scan", json=where)
    assert (known.status_code, known.json()["field"]) == (422, "host")
    assert f"search the line {barn['line']}" in known.json()["detail"]
    assert demo.client.post("/ports/host/scan", json={}).json()["field"] == "host"
    assert demo.client.post("/ports/ext/scan", json=where).json()["field"] == "host"
    patch(demo, barn["id"], enabled=False)
    begun = until_sync(
        lambda: (each := demo.client.post("/ports/host/scan", json=where)).status_code == 202 and each,
        deadline_s=10,
        what="the search to begin",
    )
    assert begun
    assert demo.client.post("/ports/host/scan", json=where).json()["type"].endswith(":scan-running")

    def ended(tcp_port: int) -> Any:
        state = demo.get("/ports/host/scan")
        return state if state and state["tcp_port"] == tcp_port and state["status"] != "running" else None

    state = until_sync(lambda: ended(where["tcp_port"]), deadline_s=60, what="the search to end")
    assert (state["status"], state["host"], state["tcp_port"]) == ("done", *where.values())
    assert state["found"][0]["candidates"][0]["model"].startswith("huawei/")
    dead = demo.client.post("/ports/host/scan", json={"host": "127.0.0.1", "tcp_port": 9})
    assert dead.status_code == 202
    failed = until_sync(lambda: ended(9), deadline_s=20, what="the search to fail")
    assert failed["status"] == "failed"
    assert "127.0.0.1:9" in failed["error"]
    patch(demo, barn["id"], enabled=True)
