"""Search and synchronisation over REST; the other side of the bus is played by the test."""

import asyncio
from pathlib import Path
from typing import Any

from ccm_contracts.channels import MODE_STATE, SCAN_STATE
from ccm_contracts.messages import Command
from ccm_contracts.scan_state import ScanState
from ccm_contracts.state import Assigned, ModeState
from ccm_contracts.verb_table import SCAN_CANCEL, SCAN_START, SET_MODE
from ccm_contracts.verbs.bus_reader import ScanCancel, ScanRequest, SetMode
from ccm_kit.bus import Answer, Bus
from ccm_kit.clock import SystemClock
from ccm_kit.errors import RefusedError
from tests.integration.api.gateway import Gateway, gateway
from tests.support.nats import NatsServer
from tests.support.wait import until

NOW = SystemClock().now()


class Reader:
    """bus-reader's answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.asked: list[ScanRequest] = []

    async def serve(self) -> None:
        await self._bus.serve(
            Answer(SCAN_START, self.start), Answer(SCAN_CANCEL, self.cancel), Answer(SET_MODE, self.set_mode)
        )

    async def start(self, args: ScanRequest, _: Command[ScanRequest]) -> ScanState:
        if self.asked:
            raise RefusedError("a search runs on line native already", code="scan-running")
        self.asked.append(args)
        state = ScanState(line=args.line, status="running", depth=args.depth, started=NOW, ts=NOW)
        self._bus.state(SCAN_STATE, state, id=args.line)
        return state

    async def cancel(self, args: ScanCancel, _: Command[ScanCancel]) -> ScanState:
        raise RefusedError("no search runs on line native", code="no-scan")

    async def set_mode(self, args: SetMode, _: Command[SetMode]) -> ModeState:
        mode: Any = args.mode
        return ModeState(mode=mode, since=NOW)

    def assigned(self, *devices: Assigned) -> None:
        state = ModeState(mode="synchronisation", since=NOW, devices=list(devices))
        self._bus.state(MODE_STATE, state, id="bus-reader")


def given(unit: int, serial: str) -> Assigned:
    return Assigned(line="native", unit=unit, serial=serial, model="energyccm/ccm4", at=NOW)


async def devices_of(made: Gateway, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await made.http.get("/config/devices", headers=headers)
    return list(answer.json())


async def test_an_answer_is_known_before_it_is_seen_on_the_bus(nats: NatsServer, tmp_path: Path) -> None:
    """Who starts a search and looks at once must not see the one before, which has ended."""
    async with gateway(nats, tmp_path) as made:
        headers, path = await made.sign_in(), "/ports/native/scan"
        old = ScanState(line="native", status="done", depth="quick", started=NOW, ts=NOW)
        made.bus.state(SCAN_STATE, old, id="native")

        async def is_there() -> bool:
            return (await made.http.get(path, headers=headers)).status_code == 200

        await until(is_there, deadline_s=10, what="the search before")

        async def start(args: ScanRequest, _: Command[ScanRequest]) -> ScanState:
            now = SystemClock().now()
            return ScanState(line=args.line, status="running", depth=args.depth, started=now, ts=now)

        await made.bus.serve(Answer(SCAN_START, start))
        assert (await made.http.post(path, headers=headers)).status_code == 202
        assert (await made.got(path, headers))["status"] == "running"


async def test_search_is_started_followed_and_refused_over_rest(nats: NatsServer, tmp_path: Path) -> None:
    async with gateway(nats, tmp_path) as made:
        reader, headers = Reader(made.bus), await made.sign_in()
        await reader.serve()
        path = "/ports/native/scan"
        assert (await made.http.get(path, headers=headers)).status_code == 404
        body = {"depth": "full", "first_unit": 1, "last_unit": 20, "baudrates": [9600], "formats": ["8E1"]}
        typo = await made.http.post(path, json={"baudrate": 9600}, headers=headers)
        assert (typo.status_code, typo.json()["field"]) == (422, "baudrate")
        begun = await made.http.post(path, json=body, headers=headers)
        assert (begun.status_code, begun.json()["status"]) == (202, "running")
        assert reader.asked == [ScanRequest(line="native", **body)]
        assert (await made.got(path, headers))["depth"] == "full"
        again = await made.http.post(path, headers=headers)
        assert (again.status_code, again.json()["type"][-12:]) == (409, "scan-running")
        ended = await made.http.delete(path, headers=headers)
        assert (ended.status_code, ended.json()["detail"]) == (409, "no search runs on line native")
        nowhere = await made.http.post("/ports/nowhere/scan", json={}, headers=headers)
        assert nowhere.status_code == 404
        wrong = await made.http.post(path, json={"formats": ["7E1"]}, headers=headers)
        assert (wrong.status_code, wrong.json()["field"]) == (422, "formats[0]")


async def test_mode_is_set_and_left_over_rest(nats: NatsServer, tmp_path: Path) -> None:
    async with gateway(nats, tmp_path) as made:
        reader, headers = Reader(made.bus), await made.sign_in()
        await reader.serve()
        on = await made.http.post("/sync", headers=headers)
        assert (on.status_code, on.json()["mode"]) == (200, "synchronisation")
        off = await made.http.delete("/sync", headers=headers)
        assert (off.status_code, off.json()["mode"]) == (200, "reading")
        reader.assigned()

        async def is_on() -> bool:
            return bool((await made.got("/sync", headers))["mode"] == "synchronisation")

        await until(is_on, deadline_s=5, what="the mode that bus-reader tells")
        wrong = await made.http.post("/sync", json={"mode": "toggle"}, headers=headers)
        assert wrong.status_code == 422


async def test_assigned_devices_are_added_while_others_change_the_section(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with gateway(nats, tmp_path) as made:
        reader, headers = Reader(made.bus), await made.sign_in()
        devices = await devices_of(made, headers)
        reader.assigned(given(2, "21000001"))
        rival = [*devices, {**devices[0], "id": "rival", "unit": 9}]
        await asyncio.gather(*(made.write("devices", rival) for _ in range(3)))
        reader.assigned(given(2, "21000001"), given(3, "21000002"))

        async def both() -> bool:
            ids = [each["id"] for each in await devices_of(made, headers)]
            return {"rival", "ccm-21000001", "ccm-21000002"} <= set(ids)

        await until(both, deadline_s=8, what="both devices and the rival's change")
        ids = [each["id"] for each in await devices_of(made, headers)]
        assert len(ids) == len(set(ids)) == 5
