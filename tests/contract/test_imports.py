"""The directions of import hold, and the tool that checks them notices when one does not."""

import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(sysconfig.get_path("scripts")) / "lint-imports"

# Package, module that breaks a rule, and the start of the name of the rule that must notice.
VIOLATIONS = {
    "service-imports-service": ("ccm_solar", "import ccm_uplink\n", "contracts <- kit <- services"),
    "kit-imports-service": ("ccm_kit", "import ccm_io\n", "contracts <- kit <- services"),
    "contracts-import-yaml": ("ccm_contracts", "import yaml\n", "contracts need nothing"),
    "service-imports-nats": ("ccm_api", "import nats\n", "nats-py lives in one adapter"),
    "simulator-imports-contracts": ("ccm_sim", "import ccm_contracts\n", "the simulated site shares"),
}


def lint(directory: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TOOL, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The root packages, empty, under the real rules."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for package in settings["root_packages"]:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    text = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text[text.index("[tool.importlinter]") :])
    return tmp_path


def test_no_import_goes_the_wrong_way() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_rules_accept_packages_without_imports(scratch: Path) -> None:
    done = lint(scratch)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_is_found(scratch: Path, name: str) -> None:
    package, source, rule = VIOLATIONS[name]
    (scratch / package / "wrong.py").write_text(source)
    done = lint(scratch)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if "BROKEN" in line]
    assert any(line.strip().startswith(rule) for line in broken), done.stdout
