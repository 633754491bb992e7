"""The live stream: what arrives, what is replayed, and when it ends."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from ccm_api.hub import MOST_CLIENTS
from ccm_contracts.channels import OUTPUT_STATE, TELEMETRY
from ccm_contracts.state import OutputState
from tests.integration.api.gateway import PASSWORD, Gateway, ago, reading
from tests.support.wait import LEAST_S, until

NEWEST_V1 = 'ccm_device_value{device="grid",metric="v1",unit="V"} 232.5'
"""Of the second reading."""


@dataclass
class Frame:
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.fields["data"])
        return parsed


@asynccontextmanager
async def _stream(gw: Gateway, headers: dict[str, str], topics: str) -> AsyncIterator[AsyncIterator[Frame]]:
    async with (
        httpx.AsyncClient(base_url=gw.http.base_url, timeout=LEAST_S) as http,
        http.stream("GET", "/stream", headers=headers, params={"topics": topics}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _frames(answer)


async def _frames(answer: httpx.Response) -> AsyncIterator[Frame]:
    frame = Frame()
    async for line in answer.aiter_lines():
        if not line:
            if "data" in frame.fields:
                yield frame
            frame = Frame()
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            frame.fields[name] = value


async def _send(gw: Gateway, seq: int) -> None:
    await gw.bus.publish(TELEMETRY, reading(seq, v1=230.5 + seq), device="grid")


async def test_published_reading_arrives_with_topic_and_id(gw: Gateway) -> None:
    headers = await gw.sign_in()
    async with _stream(gw, headers, "telemetry") as frames:
        await until(lambda: _opened(gw, headers), deadline_s=5, what="the stream to be open")
        await _send(gw, 1)
        frame = await anext(frames)
    assert frame.fields["event"] == "telemetry"
    assert frame.fields["id"]
    assert (frame.data["device"], frame.data["seq"]) == ("grid", 1)


async def _opened(gw: Gateway, headers: dict[str, str]) -> bool:
    return "ccm_streams 1" in (await gw.http.get("/metrics", headers=headers)).text


async def test_stream_begins_with_the_newest_of_each_thing(gw: Gateway) -> None:
    headers = await gw.sign_in()
    for seq in (1, 2):
        await _send(gw, seq)
    state = OutputState(output="relay-1", value=1, since=ago(0), reason="test")
    gw.bus.state(OUTPUT_STATE, state, id="relay-1")

    async def both() -> bool:
        known = await gw.http.get("/metrics", headers=headers)
        return 'ccm_output_value{output="relay-1"} 1.0' in known.text and f"{NEWEST_V1}\n" in known.text

    await until(both, deadline_s=5, what="both messages")
    async with _stream(gw, headers, "telemetry,state") as frames:
        first = await anext(frames)
        assert (first.data["seq"], "id" in first.fields) == (2, False)
        second = await anext(frames)
        while second.data["kind"] != "output":
            second = await anext(frames)
        assert (second.data["id"], second.data["value"]) == ("relay-1", 1)


async def test_last_event_id_replays_what_was_missed(gw: Gateway) -> None:
    headers = await gw.sign_in()
    async with _stream(gw, headers, "telemetry") as frames:
        await until(lambda: _opened(gw, headers), deadline_s=5, what="the stream to be open")
        await _send(gw, 1)
        last = (await anext(frames)).fields["id"]
    for seq in (2, 3):
        await _send(gw, seq)
    async with _stream(gw, headers | {"Last-Event-ID": last}, "telemetry") as frames:
        assert [(await anext(frames)).data["seq"] for _ in range(2)] == [2, 3]
    async with _stream(gw, headers | {"Last-Event-ID": "another-run-7"}, "telemetry") as frames:
        assert (await anext(frames)).data["seq"] == 3


async def test_stream_ends_at_sign_out_and_at_password_change(gw: Gateway) -> None:
    headers, other = await gw.sign_in(), await gw.sign_in()
    async with _stream(gw, headers, "event") as frames:
        assert (await gw.http.delete("/session", headers=headers)).status_code == 204
        assert [frame async for frame in frames if frame.data["kind"] == "nothing"] == []
    async with _stream(gw, other, "telemetry") as frames:
        body = {"old": PASSWORD, "new": "another long secret"}
        assert (await gw.http.post("/session/password", headers=other, json=body)).status_code == 200
        assert [frame async for frame in frames] == []


async def test_streams_are_bounded(gw: Gateway) -> None:
    headers = await gw.sign_in()
    limits = httpx.Limits(max_connections=MOST_CLIENTS + 5)
    async with httpx.AsyncClient(base_url=gw.http.base_url, timeout=LEAST_S, limits=limits) as http:
        requests = [http.build_request("GET", "/stream", headers=headers) for _ in range(MOST_CLIENTS)]
        answers = [await http.send(request, stream=True) for request in requests]
        assert {answer.status_code for answer in answers} == {200}
        refused = await http.get("/stream", headers=headers)
        assert refused.status_code == 503
        for answer in answers:
            await answer.aclose()

    async def is_empty() -> bool:
        return "ccm_streams 0" in (await gw.http.get("/metrics", headers=headers)).text

    await until(is_empty, deadline_s=5, what="the streams to be closed")
