"""Problems, masks, freshness, the hub and the published document."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ccm_api.app import openapi_document
from ccm_api.exposition import exposition
from ccm_api.freshness import age_s, limit_s, quality_of
from ccm_api.hub import QUEUE_MESSAGES, RING_MESSAGES, Client, Hub
from ccm_api.live import Live
from ccm_api.masks import kept
from ccm_api.problems import ProblemError, from_error, response
from ccm_contracts.config.services import Mqtt
from ccm_contracts.config.site import Security, User
from ccm_contracts.messages import Quality, Reading
from ccm_contracts.types import MASK, Secret
from ccm_kit.errors import BadInputError, BusDownError, CcmError, RefusedError, UnavailableError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError("away"), 503),
        (BusDownError("away"), 503),
        (RefusedError("no", code="not-writable"), 409),
        (RefusedError("no", code="not-writable", field="name"), 422),
        (RefusedError("no", code="not-found", field="device"), 404),
        (RefusedError("no", code="busy"), 503),
        (BadInputError("wrong", field="x"), 422),
        (CcmError("odd"), 500),
    ],
)
def test_errors_have_the_status_of_their_meaning(error: CcmError, status: int) -> None:
    problem = from_error(error)
    assert (problem.status, problem.field) == (status, error.field)


def test_problem_document_has_the_members_of_rfc_9457() -> None:
    answer = response(ProblemError(404, "not-found", "there is no device 'x'"), "/api/v1/devices/x")
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "urn:ccmaster:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no device 'x'",
        "instance": "/api/v1/devices/x",
    }


def test_masked_secret_keeps_the_stored_one_and_a_new_one_replaces_it() -> None:
    old = Mqtt(password=Secret("old"))
    assert kept(Mqtt(password=Secret(MASK)), old, ("mqtt",)).password == Secret("old")
    assert kept(Mqtt(password=Secret("new")), old, ("mqtt",)).password == Secret("new")
    assert kept(Mqtt(), old, ("mqtt",)).password == Secret("")


def test_masked_secret_stays_with_its_owner_when_the_order_changes() -> None:
    old = Security(
        users=[User(name="a", password_hash=Secret("A")), User(name="b", password_hash=Secret("B"))]
    )
    masked = Secret(MASK)
    new = Security(users=[User(name="b", password_hash=masked), User(name="a", password_hash=masked)])
    assert [user.password_hash.reveal() for user in kept(new, old, ("security",)).users] == ["B", "A"]


def test_mask_without_a_stored_secret_names_the_field() -> None:
    new = Security(users=[User(name="c", password_hash=Secret(MASK))])
    with pytest.raises(ProblemError) as caught:
        kept(new, Security(), ("security",))
    assert caught.value.field == "security.users[0].password_hash"


@pytest.mark.parametrize(
    ("quality", "age", "poll_s", "expected"),
    [
        ("good", 10.0, 1.0, "good"),
        ("good", 10.001, 1.0, "stale"),
        ("good", 180.0, 60.0, "good"),
        ("good", 180.001, 60.0, "stale"),
        ("bad", 999.0, 1.0, "bad"),
        ("stale", 0.0, 1.0, "stale"),
    ],
)
def test_quality_is_stale_after_three_polls_or_ten_seconds(
    quality: Quality, age: float, poll_s: float, expected: Quality
) -> None:
    assert quality_of(quality, age=age, limit=limit_s(poll_s)) == expected


def test_age_of_a_future_stamp_is_zero() -> None:
    assert age_s(NOW + timedelta(seconds=3), NOW) == 0
    assert age_s(NOW - timedelta(milliseconds=1500), NOW) == 1.5


def test_hub_replays_what_the_ring_has() -> None:
    hub = Hub()
    hub.put("telemetry", b"0")
    first = hub._ring[0].id
    for number in range(1, RING_MESSAGES):
        hub.put("telemetry", str(number).encode())
    missed = hub.since(first)
    assert missed is not None
    assert [item.data for item in missed] == [str(number).encode() for number in range(1, RING_MESSAGES)]
    hub.put("telemetry", b"x")
    hub.put("telemetry", b"y")
    assert hub.since(first) is None
    assert hub.since("another-1") is None
    assert hub.since("nonsense") is None


async def test_client_that_does_not_read_is_ended() -> None:
    hub = Hub()
    with hub.client(frozenset({"event"}), lambda: True) as client:
        for _ in range(QUEUE_MESSAGES):
            hub.put("event", b"{}")
        hub.put("telemetry", b"{}")
        before = client.is_over
        hub.put("event", b"{}")
        assert (before, client.is_over) == (False, True)
    assert len(hub) == 0


async def test_client_ends_with_its_session() -> None:
    holds = [True]
    client = Client(frozenset({"event"}), lambda: holds[0])
    assert await client.next(0.001) == []
    before = client.is_over
    holds[0] = False
    assert (before, client.is_over) == (False, True)


def test_exposition_escapes_labels_and_leaves_unknown_values_out() -> None:
    live = Live(Hub())
    live.readings["grid"] = Reading(
        gateway="G", device="grid", ts=NOW, values={"p": 5, "q": None, "status": "on"}, seq=1
    )
    text = exposition(live, now=NOW, version='1"\\\n', streams=0)
    assert 'ccm_info{version="1\\"\\\\\\n"} 1' in text
    assert 'ccm_device_value{device="grid",metric="p",unit="W"} 5' in text
    assert 'metric="q"' not in text
    assert 'metric="status"' not in text
    assert text.endswith("\n")


def test_openapi_document_is_the_same_each_time_and_complete() -> None:
    document = openapi_document()
    assert document == openapi_document()
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["summary"], (method, path)
            assert operation["tags"], (method, path)
            assert "HTTPValidationError" not in json.dumps(operation)
            public = path in ("/api/v1/health/live", "/api/v1/health/ready") or (path, method) == (
                "/api/v1/session",
                "post",
            )
            assert bool(operation["security"]) is not public, (method, path)
    assert len(set(ids)) == len(ids)


def test_openapi_references_lead_somewhere() -> None:
    document = openapi_document()

    def references(part: object) -> list[str]:
        if isinstance(part, list):
            return [found for each in part for found in references(each)]
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for each in part.values() for found in references(each)]
        return []

    for reference in references(document):
        found = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
