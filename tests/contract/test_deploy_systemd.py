"""The systemd units: accepted by systemd, hardened, and with the devices of their service only."""

import re
import subprocess
from pathlib import Path

import pytest

from ccm_contracts.channels import SERVICES
from tests.support.peers import need

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that exists here, so that systemd-analyze can look at the rest."""
    folder = tmp_path / "units"
    folder.mkdir()
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        text = re.sub(
            r"^ExecStart=/opt/ccmaster/\.venv/bin/[\w-]+",
            "ExecStart=/bin/true",
            unit.read_text(),
            flags=re.MULTILINE,
        )
        (folder / unit.name).write_text(text)
    return folder


def test_systemd_accepts_the_units(units: Path) -> None:
    tool = need("systemd-analyze")
    done = subprocess.run(
        [tool, "verify", "--man=no", *sorted(units.iterdir())], capture_output=True, text=True, check=False
    )
    # Other units of this machine may be at fault: only lines about ours count.
    ours = [line for line in done.stderr.splitlines() if "ccmaster" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_little_exposure(units: Path, unit: Path) -> None:
    """2.0 of 10 ("OK"); an unhardened service has 9.6 ("UNSAFE")."""
    tool = need("systemd-analyze")
    command: list[str | Path] = [tool, "security", "--no-pager", "--offline=true", "--threshold=20"]
    done = subprocess.run([*command, units / unit.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_unit_reaches_only_the_devices_that_its_service_owns(unit: Path) -> None:
    text = unit.read_text()
    devices = set(re.findall(r"^DeviceAllow=char-(\w+?)(?:S|AMA|USB|ACM)? rw$", text, re.MULTILINE))
    expected = {"ccmaster": {"tty", "gpiochip"}, "ccmaster-bus-reader": {"tty"}, "ccmaster-io": {"gpiochip"}}
    assert devices == expected.get(unit.stem, set())
    assert "DevicePolicy=closed" in text
    assert "User=ccmaster" in text
    assert "Restart=always" in text


def test_target_wants_every_unit_of_the_split_set_up() -> None:
    text = (DEPLOY / "systemd" / "ccmaster.target").read_text()
    wanted = {name for line in re.findall(r"^Wants=(.+)$", text, re.MULTILINE) for name in line.split()}
    assert wanted == {unit.name for unit in UNITS} - {"ccmaster.service"}
    assert wanted == {f"ccmaster-{name}.service" for name in ("nats", *SERVICES)}
