"""`ccmaster scan` on real pseudo-terminals, as an installer runs it."""

import json
import signal
from pathlib import Path

from ccm_sim import Site, parse_spec
from tests.support.gateway import CCMASTER, ccmaster
from tests.support.processes import Child
from tests.support.wait import until_sync

SPEC = parse_spec(
    {
        "lines": {
            "x": {
                "baudrate": 19200,
                "strict": True,
                "devices": {"grid": {"kind": "ccm4", "unit": 1}, "house": {"kind": "sdm630", "unit": 3}},
            }
        },
        "tcp": {"devices": {"farm": {"kind": "sun2000", "unit": 1}}},
    }
)


def test_devices_at_the_named_rate_are_listed(tmp_path: Path) -> None:
    with Site(SPEC, tmp_path) as site:
        path = site.line_path("x")
        done = ccmaster("scan", "--port", path, "--baudrate", "19200", "--units", "1-4", cwd=tmp_path)
        serial = str(site.truth()["devices"]["grid"]["values"]["serial_number"])
    assert done.returncode == 0, done.stderr
    head, grid, house = done.stdout.splitlines()
    assert head.split() == ["unit", "rate", "what", "serial", "firmware"]
    assert grid.split()[:5] == ["1", "19200", "8N1", "energyccm/ccm4", "(certain)"]
    assert serial in grid
    assert house.split()[3].startswith("eastron/sdm630")
    assert done.stderr == ""


def test_json_lists_what_a_modbus_tcp_host_has(tmp_path: Path) -> None:
    with Site(SPEC, tmp_path) as site:
        assert site.tcp_address
        port = f"tcp://127.0.0.1:{site.tcp_address[1]}"
        done = ccmaster("scan", "--port", port, "--units", "1-3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (farm,) = json.loads(done.stdout)
    assert (farm["unit"], farm["kind"]) == (1, "device")
    assert farm["candidates"][0]["model"] == "huawei/sun2000"


def test_nothing_found_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    with Site(SPEC, tmp_path) as site:
        path = site.line_path("x")
        done = ccmaster("scan", "--port", path, "--baudrate", "9600", "--units", "1-2", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("nothing answers: check the wires")


def test_wrong_input_ends_with_2_and_names_the_option(tmp_path: Path) -> None:
    for arguments, complaint in (
        (("--units", "9-3"), "--units: '9-3' does not lie within 1-247"),
        (("--format", "7E1"), "--format: "),
        (("--baudrate", "9601"), "--baudrate: "),
    ):
        done = ccmaster("scan", "--port", "/dev/null", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert ccmaster("scan", "--port", "/dev/missing", cwd=tmp_path).returncode == 1


def test_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    with Site(SPEC, tmp_path) as site:
        command: list[str | Path] = [
            CCMASTER,
            "scan",
            "--port",
            site.line_path("x"),
            "--baudrate",
            "19200",
            "--full",
        ]
        child = Child.spawn(command, log=tmp_path / "scan.log")
        until_sync(lambda: site.stats()["lines"]["x"]["requests"] > 60, deadline_s=30, what="questions")
        child.signal(signal.SIGINT)
        until_sync(lambda: not child.is_running, deadline_s=10, what="the end")
    assert "energyccm/ccm4" in child.output
    assert "stopped: the search was not finished" in child.output
    assert "Traceback" not in child.output
