"""Wrong input: one line with file, line and field, exit code 2, nothing started."""

from pathlib import Path

import pytest

from tests.support.gateway import ccmaster, free_environment

pytestmark = pytest.mark.system

GOOD = """\
gateway: {serial: "CCM1", model: pro}
ports:
  - {id: ext, kind: rs485, path: /dev/null}
devices:
  - {id: one, port: ext, model: eastron/sdm630, unit: 1}
  - {id: two, port: ext, model: eastron/sdm630, unit: 2}
"""

CASES = {
    "unknown model": ("eastron/sdm630, unit: 2", "eastron/sdm999, unit: 2", 6, "devices[1].model"),
    "duplicate unit": ("unit: 2", "unit: 1", 6, "devices[1].unit"),
    "missing serial path": ("/dev/null", "/dev/ttyNoSuch", 3, "ports[0].path"),
    "bad slug": ("id: two", "id: 'Two!'", 6, "devices[1].id"),
    "unknown field": ("unit: 2}", "unit: 2, colour: red}", 6, "devices[1].colour"),
    "unknown port": (
        "port: ext, model: eastron/sdm630, unit: 2",
        "port: x, model: eastron/sdm630, unit: 2",
        6,
        "devices[1].port",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_site_file_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    old, new, line, field = CASES[name]
    site = tmp_path / "site.yaml"
    site.write_text(GOOD.replace(old, new))
    _, env = free_environment()
    done = ccmaster("up", "--config", site, "--data-dir", tmp_path / "data", cwd=tmp_path, env=env)
    assert done.returncode == 2, done.stderr
    assert f"site.yaml:{line}: {field}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "data" / "nats" / "jetstream").exists()


def test_sound_site_file_is_said_to_be_sound(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(GOOD)
    done = ccmaster("config", "check", site, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_not_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("ports: [\n  {id: a\n")
    done = ccmaster("config", "check", site, cwd=tmp_path)
    assert done.returncode == 2
    assert "site.yaml:3" in done.stderr


def test_missing_file_is_refused(tmp_path: Path) -> None:
    _, env = free_environment()
    done = ccmaster("up", "--config", "nowhere.yaml", "--data-dir", tmp_path / "data", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr
