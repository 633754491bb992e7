"""What each resource answers when the other services say something on the bus."""

import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from ccm_contracts.channels import (
    DEVICE_STATE,
    LED_STATE,
    LINE_STATE,
    LINK_STATE,
    OUTPUT_STATE,
    PLANT,
    TELEMETRY,
)
from ccm_contracts.messages import Command
from ccm_contracts.state import DeviceState, LedState, LineState, LinkState, OutputState, UnitStats
from ccm_contracts.verb_table import (
    BUDGET,
    CAPTURE,
    CATALOG,
    DEVICE_COMMAND,
    GAPS,
    HISTORY,
    LEDGER,
    PRESS_BUTTON,
    SET_OUTPUT,
    TRACE,
)
from ccm_contracts.verbs import bus_reader, io, uplink
from ccm_kit.bus import Answer
from ccm_kit.errors import BadInputError, RefusedError
from tests.integration.api.gateway import SERIAL, Gateway, ago, balance, bus_of, reading
from tests.support.nats import NatsServer
from tests.support.wait import until


async def test_device_data_has_values_with_unit_and_label(gw: Gateway) -> None:
    headers = await gw.sign_in()
    problem = await gw.got("/devices/grid/data", headers, 503)
    assert problem["type"].endswith(":no-reading")
    sent = reading(7, v1=230.1, p=-500, fault=None)
    await gw.bus.publish(TELEMETRY, sent, device="grid")
    data = await gw.got("/devices/grid/data", headers)
    assert (data["device"], data["quality"]) == ("grid", "good")
    assert 0 <= data["age_s"] <= (datetime.now(UTC) - sent.ts).total_seconds() + 0.1
    assert data["values"]["v1"] == {"value": 230.1, "unit": "V", "label": "Voltage L1"}
    assert data["values"]["p"]["value"] == -500
    assert data["values"]["fault"]["value"] is None


async def test_reading_turns_stale_after_three_polls_but_not_before_ten_seconds(gw: Gateway) -> None:
    headers = await gw.sign_in()
    for device, age, limit in (("grid", 9, 10), ("roof", 170, 180)):
        await gw.bus.publish(TELEMETRY, reading(1, device=device, ts=ago(age)), device=device)
        data = await gw.got(f"/devices/{device}/data", headers)
        # on a machine that stood still meanwhile it may be older
        assert data["quality"] == ("good" if data["age_s"] <= limit else "stale")
    for device, age in (("grid", 11), ("roof", 181)):
        await gw.bus.publish(TELEMETRY, reading(2, device=device, ts=ago(age)), device=device)

        async def is_stale(name: str = device) -> bool:
            return bool((await gw.got(f"/devices/{name}/data", headers))["quality"] == "stale")

        await until(is_stale, deadline_s=5, what=f"{device} to be stale")


async def test_devices_show_configuration_and_state(gw: Gateway) -> None:
    headers = await gw.sign_in()
    state = DeviceState(
        device="grid", online=True, since=ago(3), line="native", unit=1, model="energyccm/ccm4", serial="S1"
    )
    gw.bus.state(DEVICE_STATE, state, id="grid")

    async def is_online() -> bool:
        return bool((await gw.got("/devices/grid", headers))["online"])

    await until(is_online, deadline_s=5, what="grid to be online")
    devices = (await gw.got("/devices", headers))["devices"]
    assert [(each["id"], each["online"], each["line"]) for each in devices] == [
        ("grid", True, "native"),
        ("roof", False, "tcp-192-0-2-7-502"),
    ]
    assert devices[0]["state"]["serial"] == "S1"
    assert (await gw.got("/devices/nobody", headers, 404))["type"].endswith(":not-found")


async def test_balance_adds_up_and_is_503_before_the_first(gw: Gateway) -> None:
    headers = await gw.sign_in()
    assert (await gw.got("/plants/house/balance", headers, 503))["status"] == 503
    await gw.got("/plants/garage/balance", headers, 404)
    await gw.bus.publish(PLANT, balance(), plant="house")
    got = await gw.got("/plants/house/balance", headers)
    assert got["p_load"] == got["p_prod"] + got["p_grid"] == 2000
    plants = (await gw.got("/plants", headers))["plants"]
    assert plants[0]["production"] == ["roof"]
    assert plants[0]["balance"]["p_grid"] == -1000


async def test_ports_show_their_line_and_its_counters(gw: Gateway) -> None:
    headers = await gw.sign_in()
    ports = (await gw.got("/ports", headers))["ports"]
    assert [(each["id"], each["kind"], each["devices"]) for each in ports] == [
        ("native", "rs485", ["grid"]),
        ("tcp-192-0-2-7-502", "modbus-tcp", ["roof"]),
    ]
    await gw.got("/ports/native/stats", headers, 503)
    await gw.got("/ports/nowhere/stats", headers, 404)
    line = LineState(
        line="native",
        open=True,
        ts=ago(0),
        window_s=10,
        utilisation=0.4,
        cycle_s=0.2,
        requests=50,
        answers=49,
        timeouts=1,
        units={"1": UnitStats(requests=50, answers=49, timeouts=1)},
    )
    gw.bus.state(LINE_STATE, line, id="native")
    stats = await gw.got("/ports/native/stats", headers)
    assert (stats["requests"], stats["timeouts"], stats["utilisation"]) == (50, 1, 0.4)
    assert stats["units"]["1"]["answers"] == 49


async def test_budget_is_asked_of_bus_reader_with_the_devices_as_they_would_be(gw: Gateway) -> None:
    headers = await gw.sign_in()
    asked: list[bus_reader.BudgetQuery] = []

    async def act(args: bus_reader.BudgetQuery, _: Command[bus_reader.BudgetQuery]) -> bus_reader.LineBudget:
        asked.append(args)
        return bus_reader.LineBudget(
            line=args.line, wanted=0.5, utilisation=0.5, cycle_s=0.2, fits=True, devices=[]
        )

    await gw.bus.serve(Answer(BUDGET, act))
    new = {"id": "m2", "port": "native", "model": "energyccm/ccm4", "unit": 2, "poll_s": 1}
    wanted = {"device": new, "baudrate": 19200}
    done = await gw.http.post("/ports/native/budget", headers=headers, json=wanted)
    assert (done.status_code, done.json()["fits"]) == (200, True)
    assert [device.id for device in asked[0].devices] == ["grid", "m2"]
    assert asked[0].baudrate == 19200
    twice = {"device": {**new, "unit": 1}}
    taken = await gw.http.post("/ports/native/budget", headers=headers, json=twice)
    assert taken.status_code == 422
    assert "unit 1 is already used" in taken.json()["detail"]
    await gw.http.post("/ports/native/budget", headers=headers)
    assert [device.id for device in asked[-1].devices] == ["grid"]
    missing = await gw.http.post("/ports/nowhere/budget", headers=headers)
    assert missing.status_code == 404


async def test_trace_and_capture_are_those_of_bus_reader(gw: Gateway) -> None:
    headers = await gw.sign_in()
    frame = bus_reader.TraceFrame(
        number=8, ts=ago(0), direction="tx", hex="1103006b00037687", kind="request", meaning="unit 17: read"
    )

    async def trace(args: bus_reader.TraceQuery, _: Command[bus_reader.TraceQuery]) -> bus_reader.TraceAnswer:
        return bus_reader.TraceAnswer(line=args.line, frames=[frame], missed=7 - args.after)

    async def capture(
        args: bus_reader.CaptureQuery, _: Command[bus_reader.CaptureQuery]
    ) -> bus_reader.CaptureDone:
        return bus_reader.CaptureDone(line=args.line, frames=1, pcap=base64.b64encode(b"a file").decode())

    await gw.bus.serve(Answer(TRACE, trace), Answer(CAPTURE, capture))
    got = await gw.got("/ports/native/trace?after=3", headers)
    assert (got["missed"], got["frames"][0]["hex"]) == (4, "1103006b00037687")
    file = await gw.http.get("/ports/native/trace/capture", headers=headers)
    assert file.content == b"a file"
    assert file.headers["content-disposition"] == 'attachment; filename="CCM000123-native.pcap"'


async def test_command_reaches_the_device_once_per_idempotency_key(gw: Gateway) -> None:
    headers = await gw.sign_in() | {"Idempotency-Key": "key-1"}
    asked: list[str] = []

    async def act(
        args: bus_reader.DeviceCommand, command: Command[bus_reader.DeviceCommand]
    ) -> bus_reader.DeviceCommandDone:
        if args.name == "unknown":
            raise RefusedError("there is no such point", code="not-writable", field="name")
        asked.append(f"{command.issued_by} {command.command_id} {args.device} {args.name}={args.value:g}")
        return bus_reader.DeviceCommandDone(device=args.device, name=args.name, value=args.value)

    await gw.bus.serve(Answer(DEVICE_COMMAND, act))
    body = {"name": "power_limit", "value": 40}
    for _ in range(2):
        answer = await gw.http.post("/devices/grid/commands", headers=headers, json=body)
        assert answer.json() == {"device": "grid", "name": "power_limit", "value": 40.0}
    assert asked == ["api:admin key-1 grid power_limit=40"]
    headers = await gw.sign_in()
    refused = await gw.http.post(
        "/devices/grid/commands", headers=headers, json={"name": "unknown", "value": 1}
    )
    assert (refused.status_code, refused.json()["field"]) == (422, "name")
    bad = await gw.http.post("/devices/grid/commands", headers=headers, json={"name": "x", "value": "high"})
    assert (bad.status_code, bad.json()["field"]) == (422, "value")
    assert "high" not in bad.text

    async def audited() -> bool:
        events = (await gw.got("/events?source=api", headers))["events"]
        return {"device-command", "request-refused"} <= {each["kind"] for each in events}

    await until(audited, deadline_s=5, what="the audit")


async def test_command_without_its_service_is_503_and_names_the_command(gw: Gateway) -> None:
    headers = await gw.sign_in() | {"Idempotency-Key": "key-9"}
    answer = await gw.http.put("/outputs/relay-1", headers=headers, json={"value": 1})
    assert (answer.status_code, answer.json()["command_id"]) == (503, "key-9")
    assert answer.headers["retry-after"]


async def test_outputs_are_switched_and_read_back(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()
    state = OutputState(output="relay-1", value=1, since=ago(0), reason="command by admin", switches=3)

    async def act(args: io.SetOutput, command: Command[io.SetOutput]) -> io.OutputDone:
        return io.OutputDone(state=state.model_copy(update={"output": args.output, "value": args.value}))

    async def press(args: io.PressButton, command: Command[io.PressButton]) -> io.ButtonDone:
        return io.ButtonDone(action="synchronisation")

    async with bus_of(nats, "io") as bus:
        await bus.serve(Answer(SET_OUTPUT, act), Answer(PRESS_BUTTON, press))
        done = await gw.http.put("/outputs/relay-1", headers=headers, json={"value": 1, "hold_s": 5})
        assert (done.status_code, done.json()["value"]) == (200, 1)
        half = await gw.http.put("/outputs/relay-1", headers=headers, json={"value": 0.5})
        assert (half.status_code, half.json()["field"]) == (422, "value")
        volts = await gw.http.put("/outputs/analog-1", headers=headers, json={"value": 7.5})
        assert volts.json()["value"] == 7.5
        pressed = await gw.http.post("/button", headers=headers, json={"duration_s": 1})
        assert pressed.json() == {"action": "synchronisation"}
        bus.state(OUTPUT_STATE, state, id="relay-1")
        bus.state(LED_STATE, LedState(led="green", pattern="on", meaning="reading"), id="green")

        async def is_closed() -> bool:
            return bool((await gw.got("/outputs/relay-1", headers))["value"] == 1)

        async def leds() -> list[dict[str, str]]:
            return list((await gw.got("/leds", headers))["leds"])

        await until(is_closed, deadline_s=5, what="relay-1 to be closed")
        (green,) = await until(leds, deadline_s=5, what="the LED")
    outputs = (await gw.got("/outputs", headers))["outputs"]
    assert [each["id"] for each in outputs] == ["relay-1", "relay-2", "analog-1"]
    assert outputs[1]["value"] is None
    assert green["pattern"] == "on"


@pytest.mark.parametrize(
    ("model", "present"),
    [("lite", set()), ("lite-plus", {"relay-1", "relay-2"}), ("pro", {"relay-1", "relay-2", "analog-1"})],
)
async def test_outputs_follow_the_model(gw: Gateway, model: str, present: set[str]) -> None:
    headers = await gw.sign_in()
    await gw.write("gateway", {"serial": SERIAL, "model": model})

    async def applies() -> bool:
        return bool((await gw.got("/info", headers))["model"] == model)

    await until(applies, deadline_s=5, what="the new model")
    assert {each["id"] for each in (await gw.got("/outputs", headers))["outputs"]} == present
    for output in ("relay-1", "analog-1"):
        answer = await gw.http.put(f"/outputs/{output}", headers=headers, json={"value": 1})
        if output in present:
            assert answer.status_code == 503
        else:
            assert answer.status_code == 404
            assert answer.json()["type"].endswith(":not-on-this-model")
            assert model in answer.json()["detail"]


async def test_history_joins_pages_and_ends_with_a_cursor(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()

    async def act(args: uplink.HistoryQuery, command: Command[uplink.HistoryQuery]) -> uplink.HistoryAnswer:
        if args.device == "nobody":
            return uplink.HistoryAnswer(series=[])
        at = int(args.start.timestamp() * 1000)
        series = uplink.Series(
            device=args.device, metric="p", unit="W", resolution_s=0, points=[(at + 5, 1.5, 1.0, 2.0)]
        )
        return uplink.HistoryAnswer(
            series=[series], next_from=args.start.replace(minute=args.start.minute + 1)
        )

    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(HISTORY, act))
        query = {
            "device": "grid",
            "metric": ["p"],
            "from": "2026-05-01T12:00:00Z",
            "to": "2026-05-01T13:00:00Z",
        }
        answer = (await gw.http.get("/history", headers=headers, params=query)).json()
        assert answer["series"][0]["points"][0] == ["2026-05-01T12:00:00.005Z", 1.5, 1.0, 2.0]
        assert len(answer["series"]) == 1
        assert len(answer["series"][0]["points"]) == 8
        assert answer["next"] == "2026-05-01T12:08:00.000Z"
        wrong = await gw.http.get("/history", headers=headers, params={**query, "to": "2026-05-01T11:00:00Z"})
        assert (wrong.status_code, wrong.json()["field"]) == (422, "from")
        naive = await gw.http.get("/history", headers=headers, params={**query, "to": "2026-05-01T13:00:00"})
        assert (naive.status_code, naive.json()["field"]) == (422, "to")
        missing = await gw.http.get("/history", headers=headers, params={"device": "nobody"})
        assert missing.status_code == 404


async def test_export_is_streamed_page_by_page(gw: Gateway, nats: NatsServer) -> None:
    """uplink answers for ever: a file in memory would never come."""
    headers = await gw.sign_in()
    asked = 0

    async def act(args: uplink.HistoryQuery, command: Command[uplink.HistoryQuery]) -> uplink.HistoryAnswer:
        nonlocal asked
        asked += 1
        at = int(args.start.timestamp() * 1000)
        points = [(at + n, 1.5, 1.0, 2.0) for n in range(5000)]
        series = [
            uplink.Series(device=name, metric="p", unit="W", resolution_s=0, points=points)
            for name in (args.device, *args.devices)
        ]
        return uplink.HistoryAnswer(series=series, next_from=args.start + timedelta(seconds=5))

    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(HISTORY, act))
        query = {"device": ["grid", "roof"], "from": "2000-01-01T00:00:00Z", "format": "csv"}
        seen = b""
        async with gw.http.stream("GET", "/history/export", headers=headers, params=query) as answer:
            assert answer.headers["content-type"].startswith("text/csv")
            assert 'filename="history-grid-roof-20000101' in answer.headers["content-disposition"]
            async for chunk in answer.aiter_bytes():
                seen += chunk
                if len(seen) > 2_000_000:
                    break
        lines = seen.decode().splitlines()
        assert lines[:3] == [
            "time,device,metric,unit,value,min,max",
            "2000-01-01T00:00:00.000+00:00,grid,p,W,1.5,1,2",
            "2000-01-01T00:00:00.000+00:00,roof,p,W,1.5,1,2",
        ]
        assert len(lines) / 10_000 <= asked <= len(lines) / 10_000 + 20  # what fits into the sockets' buffers
        both = await gw.http.get(
            "/history/export", headers=headers, params={**query, "points": 5, "aggregate": "mean"}
        )
        assert (both.status_code, both.json()["field"]) == (422, "points")


async def test_energy_and_gaps_are_asked_from_uplink(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()

    async def act(args: uplink.HistoryQuery, command: Command[uplink.HistoryQuery]) -> uplink.HistoryAnswer:
        assert (args.aggregate, args.interval) == ("energy", "month")
        series = uplink.Series(
            device=args.device, metric="p_prod", unit="kWh", resolution_s=2_592_000, points=[], stat="energy"
        )
        return uplink.HistoryAnswer(series=[series])

    async def find(args: uplink.GapsQuery, command: Command[uplink.GapsQuery]) -> uplink.GapsAnswer:
        gap = uplink.Gap(start=args.start, end=args.end, reason="device-dead", detail="no reply")
        return uplink.GapsAnswer(gaps=[gap], expected_s=1)

    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(HISTORY, act), Answer(GAPS, find))
        span = {"from": "2026-05-01T12:00:00Z", "to": "2026-05-01T13:00:00Z"}
        energy = await gw.http.get(
            "/history/energy", headers=headers, params={"device": "house", "by": "month", **span}
        )
        (series,) = energy.json()["series"]
        assert (series["unit"], series["stat"]) == ("kWh", "energy")
        gaps = await gw.http.get("/history/gaps", headers=headers, params={"device": "grid", **span})
        assert gaps.json() == {
            "device": "grid",
            "expected_s": 1,
            "gaps": [
                {
                    "from": "2026-05-01T12:00:00.000Z",
                    "to": "2026-05-01T13:00:00.000Z",
                    "reason": "device-dead",
                    "detail": "no reply",
                }
            ],
            "next": None,
        }


async def test_catalog_and_delivery_come_from_their_owners(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()
    model = bus_reader.CatalogModel(
        id="eastron/sdm630",
        type="meter",
        brand="eastron",
        device_class="meter",
        series="SDM",
        model="SDM630",
        protocol="modbus",
        source="public map",
    )

    async def catalog(
        args: bus_reader.CatalogQuery, command: Command[bus_reader.CatalogQuery]
    ) -> bus_reader.CatalogList:
        if args.model not in (None, model.id):
            raise BadInputError(f"{args.model!r} is not a model of the catalogue", field="model")
        return bus_reader.CatalogList(models=[model])

    async def ledger(args: uplink.LedgerQuery, command: Command[uplink.LedgerQuery]) -> uplink.Ledger:
        own = uplink.DeviceLedger(device="grid", first_seq=1, last_seq=9, readings=9, last_ts=ago(1))
        return uplink.Ledger(devices=[own])

    await gw.bus.serve(Answer(CATALOG, catalog))
    assert (await gw.got("/catalog", headers))["models"][0]["id"] == model.id
    assert (await gw.got("/catalog/eastron/sdm630", headers))["brand"] == "eastron"
    await gw.got("/catalog/eastron/none", headers, 404)
    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(LEDGER, ledger))
        link = LinkState(link="mqtt", enabled=True, connected=True, since=ago(5), pending=2)
        bus.state(LINK_STATE, link, id="mqtt")

        async def both() -> bool:
            answer = await gw.got("/delivery", headers)
            return bool(answer["devices"] and answer["links"])

        await until(both, deadline_s=5, what="ledger and link")


async def test_info_lists_services_and_features(gw: Gateway) -> None:
    headers = await gw.sign_in()
    info = await gw.got("/info", headers)
    assert (info["serial"], info["alias"], info["timezone"]) == (SERIAL, "Roof house", "UTC")
    assert info["features"] == ["analog", "ethernet", "modem", "relays"]


async def test_metrics_are_prometheus_text(gw: Gateway) -> None:
    headers = await gw.sign_in()
    await gw.bus.publish(TELEMETRY, reading(1, v1=230.1, status="on"), device="grid")
    await gw.got("/devices/grid/data", headers)
    answer = await gw.http.get("/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'ccm_device_value{device="grid",metric="v1",unit="V"} 230.1' in answer.text
    assert 'metric="status"' not in answer.text


async def test_malformed_message_is_rejected_and_the_service_goes_on(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()
    await gw.context.bus._link.publish(f"ccm.{SERIAL}.telemetry.grid", b'{"gateway": 5')
    await gw.context.bus._link.publish(f"$KV.ccm_state.{SERIAL}.output.relay-1", b'{"output": "relay-1"}')
    await gw.bus.publish(TELEMETRY, reading(2), device="grid")
    await gw.got("/devices/grid/data", headers)

    async def rejected() -> set[str]:
        events = (await gw.got("/events?source=api", headers))["events"]
        return {each["data"]["subject"] for each in events if each["kind"] == "rejected"}

    subjects = await until(
        lambda: _two(rejected), deadline_s=5, what="a rejected event for each malformed message"
    )
    assert subjects == {f"ccm.{SERIAL}.telemetry.grid", f"$KV.ccm_state.{SERIAL}.output.relay-1"}


async def _two(rejected: object) -> set[str] | None:
    found: set[str] = await rejected()  # type: ignore[operator]
    return found if len(found) == 2 else None


async def test_nats_may_die_and_come_back(gw: Gateway, nats: NatsServer) -> None:
    headers = await gw.sign_in()
    await gw.bus.publish(TELEMETRY, reading(1), device="grid")
    await gw.got("/devices/grid/data", headers)
    await nats.kill()
    assert (await gw.got("/health/ready", headers, 503))["type"].endswith(":bus-down")
    assert (await gw.http.get("/devices/grid/data", headers=headers)).status_code == 200
    put = await gw.http.put("/config/timezone", headers=headers | {"If-Match": "*"}, json="Europe/Madrid")
    assert put.status_code == 503
    await nats.start()
    await gw.got("/health/ready", headers)
    gw.bus.say(TELEMETRY, reading(2, v1=231.0), device="grid")

    async def is_new() -> bool:
        data = await gw.got("/devices/grid/data", headers)
        return bool(data["values"]["v1"]["value"] == 231.0)

    await until(is_new, deadline_s=10, what="the reading after the restart")


async def test_every_error_is_a_problem(gw: Gateway) -> None:
    headers = await gw.sign_in()
    answers: list[tuple[int, httpx.Response]] = [
        (404, await gw.http.get("/nothing", headers=headers)),
        (405, await gw.http.patch("/devices", headers=headers)),
        (405, await gw.http.get("/button", headers=headers)),
        (422, await gw.http.get("/events?limit=0", headers=headers)),
        (422, await gw.http.get("/stream?topics=weather", headers=headers)),
        (405, await gw.http.post(gw.url + "/index.html")),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.url
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers[3][1].json()["field"] == "limit"


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/history?device=grid&agregate=mean", "aggregate, device, from, interval, metric, points, to"),
        ("/devices?limit=3", "none"),
    ],
)
async def test_a_misspelt_parameter_is_refused_not_left_out(gw: Gateway, path: str, known: str) -> None:
    headers = await gw.sign_in()
    answer = await gw.http.get(path, headers=headers)
    name = path.rpartition("?")[2].split("&")[-1].partition("=")[0]
    assert (answer.status_code, answer.json()["field"]) == (422, name)
    assert answer.json()["detail"] == f"{name}: is not a parameter of this resource; known: {known}"


async def test_reference_page_needs_nothing_from_elsewhere(gw: Gateway) -> None:
    headers = await gw.sign_in()
    page = await gw.http.get("/docs", headers=headers)
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "http" not in page.text.replace("http-equiv", "")
    for file in ("reference.js", "reference.css"):
        assert (await gw.http.get(f"/docs/{file}", headers=headers)).status_code == 200
    assert (await gw.http.get("/docs/index.html", headers=headers)).status_code == 422
    document = await gw.got("/openapi.json", headers)
    assert document["openapi"].startswith("3.1")
