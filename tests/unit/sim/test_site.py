"""The site as its users see it: demo, outputs, TCP, control socket, state, process."""

import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccm_sim import Site, SpecError, demo_spec, load_spec, parse_spec
from ccm_sim.modbus import crc16
from tests.unit.sim.master import Master, ask_tcp, read_request, words


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The demo's site."""
    with Site(demo_spec(), tmp_path) as running:
        yield running


def control(path: Path, *requests: object) -> list[dict[str, Any]]:
    """Answers of the control socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        connection.connect(str(path))
        for request in requests:
            text = request if isinstance(request, str) else json.dumps(request)
            connection.sendall(text.encode() + b"\n")
        with connection.makefile() as answers:
            return [json.loads(answers.readline()) for _ in requests]


def eventually(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        select.select((), (), (), 0.005)


def test_balance_of_the_truth_is_what_the_devices_show(site: Site) -> None:
    site.freeze(True)
    truth = site.truth()
    values = {id_: device["values"] for id_, device in truth["devices"].items()}
    for phase in range(3):
        produced = truth["site"]["production_w_phases"][phase]
        assert truth["site"]["grid_w_phases"][phase] == pytest.approx(
            truth["site"]["load_w_phases"][phase] - produced, abs=1e-9
        )
        assert values["grid"][f"p{phase + 1}"] == pytest.approx(
            truth["site"]["grid_w_phases"][phase], abs=0.051
        )
        assert values["house"][f"p{phase + 1}"] == pytest.approx(
            truth["site"]["load_w_phases"][phase], rel=1e-6
        )
    assert values["roof"]["p"] + values["farm"]["p"] == pytest.approx(truth["site"]["production_w"], abs=1)


def test_frozen_site_answers_exactly_its_truth(site: Site) -> None:
    site.freeze(True)
    master = Master.open(site.line_path("native"))
    reply = words(master.ask(read_request(1, 3, 64, 4), length=13))
    master.close()
    energy = site.truth()["devices"]["grid"]["values"]
    assert (reply[0] << 16 | reply[1]) == round(energy["e_imp"] * 1000)
    assert (reply[2] << 16 | reply[3]) == round(energy["e_exp"] * 1000)


def test_frozen_site_goes_on_where_it_stood(site: Site) -> None:
    site.freeze(True)
    first, second = site.truth(), site.truth()
    assert first == second
    site.freeze(False)
    eventually(lambda: site.truth()["site"]["hour"] > first["site"]["hour"])
    assert site.truth()["site"]["hour"] < first["site"]["hour"] + 0.2


def test_closed_relay_is_seen_by_the_meters(site: Site) -> None:
    before = site.truth()["site"]["load_w_phases"][0]
    (site.directory / "outputs" / "relay-1").write_text("1")
    eventually(lambda: site.truth()["outputs"]["relay_1"])
    assert site.truth()["site"]["load_w_phases"][0] == pytest.approx(before + 2000, abs=200)
    (site.directory / "outputs" / "analog-1").write_text("4.500")
    eventually(lambda: site.truth()["outputs"]["analog_v"] == 4.5)
    (site.directory / "outputs" / "relay-1").unlink()
    eventually(lambda: not site.truth()["outputs"]["relay_1"])


def test_half_written_output_changes_nothing(site: Site) -> None:
    relay = site.directory / "outputs" / "relay-2"
    relay.write_text("1")
    eventually(lambda: site.truth()["outputs"]["relay_2"])
    relay.write_text("")
    hour = site.truth()["site"]["hour"]
    eventually(lambda: site.truth()["site"]["hour"] > hour + 0.01)
    assert site.truth()["outputs"]["relay_2"]


def test_inverter_answers_on_tcp(site: Site) -> None:
    site.freeze(True)
    assert site.tcp_address
    # huawei-solar-lib: 30000 model name (15 registers), 32080 active power (I32, W), 32089 device status
    model = ask_tcp(site.tcp_address, bytes.fromhex("0007 0000 0006 01 03 7530 000f"))
    assert model[:9] == bytes.fromhex("0007 0000 0021 01 03 1e")
    assert model[9:].rstrip(b"\0") == b"SUN2000-8KTL-M1"
    power = ask_tcp(site.tcp_address, bytes.fromhex("0008 0000 0006 01 03 7d50 0002"))
    assert int.from_bytes(power[9:], "big") == site.truth()["devices"]["farm"]["values"]["p"]
    assert (
        ask_tcp(site.tcp_address, bytes.fromhex("0009 0000 0006 01 03 9c40 0001")).hex()
        == "000900000003018302"
    )


def test_absent_tcp_unit_is_a_gateway_exception_and_a_dead_one_silent(site: Site) -> None:
    assert site.tcp_address
    assert (
        ask_tcp(site.tcp_address, bytes.fromhex("0001 0000 0006 05 03 7d50 0002")).hex()
        == "00010000000305830b"
    )
    site.set_faults("farm", dead=True)
    assert ask_tcp(site.tcp_address, bytes.fromhex("0001 0000 0006 01 03 7d50 0002"), within_s=0.05) == b""
    assert site.stats()["tcp"] == {"requests": 2, "replies": 1}


def test_control_socket_answers_errors_and_goes_on(site: Site) -> None:
    answers = control(
        site.directory / "control.sock",
        "no json",
        {"cmd": "dance"},
        {"cmd": "faults", "device": "nobody", "set": {}},
        {"cmd": "faults", "device": "roof", "set": {"slow": 1}},
        {"cmd": "faults", "device": "roof", "set": {"drop": 2}},
        {"cmd": "faults", "device": "roof", "set": {"dead": True}},
        {"cmd": "freeze", "on": True},
        {"cmd": "reset"},
        {"cmd": "stats"},
        {"cmd": "truth"},
    )
    assert ["error" in answer for answer in answers] == [True] * 5 + [False] * 5
    assert "roof, house" in answers[2]["error"]
    assert answers[4]["error"] == "drop: 2 is not a probability from 0 to 1"
    assert set(answers[8]["result"]["lines"]) == {"native", "ext"}
    assert set(answers[9]["result"]["devices"]) == {
        "grid", "roof", "house", "farm", "spare-1", "spare-2", "cellar",
    }  # fmt: skip
    assert site.devices["roof"].faults.dead


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


async def test_site_leaves_nothing_behind(tmp_path: Path) -> None:
    before = len(names(Path("/proc/self/fd")))
    async with Site(demo_spec(), tmp_path):
        assert names(tmp_path) == ["control.sock", "outputs", "tty-ext", "tty-native"]
    assert names(tmp_path) == ["outputs"]
    assert len(names(Path("/proc/self/fd"))) == before


def test_site_that_cannot_open_closes_what_it_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        spec = demo_spec(tcp_port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            Site(spec, tmp_path).start()
    assert names(tmp_path) == ["outputs"]


def test_site_that_ended_well_continues_its_counters(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Site(demo_spec(), tmp_path, state_file=state) as site:
        eventually(lambda: site.devices["grid"].counters["e_exp"] > 4_567_890 * 3_600_000_000_000)
    ended = dict(site.devices["grid"].counters)
    with Site(demo_spec(), tmp_path, state_file=state) as again:
        again.freeze(True)
        gained = {name: again.devices["grid"].counters[name] - ended[name] for name in ended}
    assert all(0 <= energy < 20_000 * 3 * 1_000_000_000 for energy in gained.values())  # 20 kW for 3 s
    assert json.loads(state.read_text())["closed"] is True


def test_spoilt_state_file_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("[]")
    with pytest.raises(ValueError, match=r"state\.json: not a state file"):
        Site(demo_spec(), tmp_path, state_file=state).start()


def test_array_without_its_inverter_does_not_exist(tmp_path: Path) -> None:
    spec = parse_spec({"lines": {"a": {"devices": {"grid": {"kind": "ccm4", "unit": 1}}}}})
    with Site(spec, tmp_path) as site:
        truth = site.truth()["site"]
    assert truth["production_w"] == 0
    assert truth["grid_w"] == truth["load_w"]


def test_spec_file_describes_a_site(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "seed: 7\nlines: {bus: {baudrate: 19200, format: 8E1, devices: {u: {kind: ccm4, unit: 4, count: 32}}}}\n"
        "tcp: {devices: {i: {kind: sun2000, unit: 1, turnaround_ms: 2, faults: {drop: 0.5}}}}\n"
    )
    spec = load_spec(path)
    assert [device.unit for device in spec.lines[0].devices] == list(range(4, 36))
    assert spec.lines[0].devices[0].id == "u-1"
    assert spec.tcp is not None
    assert spec.tcp.devices[0].turnaround_s == 0.002
    assert spec.tcp.devices[0].faults.drop == 0.5
    assert spec.plant.seed == 7


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "lines: {a: {devices: {x: {kind: toaster, unit: 1}}}}",
            "lines.a.devices.x.kind: 'toaster' is not one of ccm4",
        ),
        ("lines: {a: {devices: {x: {kind: ccm4}}}}", "lines.a.devices.x.unit: missing"),
        (
            "lines: {a: {devices: {x: {kind: ccm4, unit: 300}}}}",
            "lines.a.devices.x.unit: 300 is not a number",
        ),
        (
            "lines: {a: {devices: {x: {kind: ccm4, unit: 1, faults: {drop: 9}}}}}",
            "devices.x.faults.drop: 9 is not",
        ),
        ("lines: {a: {format: 9X1}}", "lines.a.format: '9X1' is not like 8N1"),
        ("lines: {a: {speed: 1}}", "lines.a: no field 'speed'"),
        (
            "tcp: {devices: {x: {kind: ccm4, unit: 1}}}\nlines: {a: {devices: {x: {kind: ccm4, unit: 1}}}}",
            "x: .* twice",
        ),
        ("- 1", "is not a mapping"),
        ("a: [", "while parsing"),
    ],
)
def test_wrong_spec_names_file_and_field(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=rf"site\.yaml: (.|\n)*{error}"):
        load_spec(path)


def test_process_says_when_it_is_ready_and_cleans_up_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ccm_sim", "--dir", str(tmp_path), "--die-with-parent", "--seed", "2"]
    with subprocess.Popen(command) as process:
        try:
            eventually((tmp_path / "site.json").exists, within_s=10.0)
            ready = json.loads((tmp_path / "site.json").read_text())
            assert ready["pid"] == process.pid
            assert ready["lines"] == {name: str(tmp_path / f"tty-{name}") for name in ("native", "ext")}
            assert ask_tcp(
                (ready["tcp"]["host"], ready["tcp"]["port"]), bytes.fromhex("0001 0000 0006 01 03 7d59 0001")
            )
            master = Master.open(Path(ready["lines"]["ext"]))
            assert words(master.ask(read_request(2, 4, 0x46, 2), length=9))[0] in (0x4247, 0x4248)  # 50 Hz
            master.close()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=5) == 0
    assert names(tmp_path) == ["outputs", "state.json"]


def test_process_refuses_a_wrong_spec_with_exit_status_2(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("lines: 3")
    command = [sys.executable, "-m", "ccm_sim", "--dir", str(tmp_path / "d"), "--spec", str(spec)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"ccm_sim: {spec}: lines: 3 is not a mapping of names to values\n"


def test_assigned_unit_outlives_the_process(tmp_path: Path) -> None:
    """docs/ccm-modbus-map.md, assignment: three registers from 8 on, at unit 247."""
    state = tmp_path / "state.json"
    with Site(demo_spec(), tmp_path, state_file=state) as site:
        serial = int(str(site.truth()["devices"]["spare-1"]["values"]["serial_number"]))
        assert site.press("spare-1")
        master = Master.open(site.line_path("native"))
        body = bytes.fromhex("f710 0008 0003 06") + serial.to_bytes(4, "big") + (7).to_bytes(2, "big")
        reply = master.ask(body + crc16(body).to_bytes(2, "little"), length=8)
        master.close()
        assert reply[:6] == body[:6]
    with Site(demo_spec(), tmp_path, state_file=state) as again:
        assert again.truth()["devices"]["spare-1"]["unit"] == 7
        assert again.truth()["devices"]["spare-2"]["unit"] == 0
