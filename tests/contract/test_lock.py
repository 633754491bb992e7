"""Lock files pin everything by hash, name no registry, and hold what the packages ask for."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "requirements.lock"
LOCKS = [SHIPPED, *sorted((ROOT / "requirements").glob("*.lock"))]
PROJECTS = sorted([*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])
NPM_LOCK = ROOT / "services" / "api" / "web" / "package-lock.json"

ADDRESS = re.compile(r"https?:|://|index-url|find-links|trusted-host|@ ", re.IGNORECASE)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")


def faults_of(text: str) -> list[str]:
    """What a pip lock file must not be: an unpinned or unhashed requirement, an option, an address."""
    faults = []
    logical_lines = text.replace("\\\n", " ").splitlines()
    for line in (line.strip() for line in logical_lines):
        if not line or line.startswith("#"):
            continue
        if ADDRESS.search(line):
            faults.append(f"names an address: {line[:80]}")
        elif not PIN.match(line):
            faults.append(f"not a pinned requirement: {line[:80]}")
        elif not re.search(r"--hash=sha256:[0-9a-f]{64}\b", line):
            faults.append(f"no hash: {line[:80]}")
    return faults


def npm_faults_of(lock: dict[str, Any]) -> list[str]:
    """The same for npm: no address to fetch from, an integrity hash for each package."""
    faults = []
    for path, entry in lock["packages"].items():
        if not path or entry.get("link"):
            continue
        if "resolved" in entry:
            faults.append(f"{path}: resolved {entry['resolved']}")
        if not str(entry.get("integrity", "")).startswith("sha512-"):
            faults.append(f"{path}: no integrity")
    return faults


def third_party(project: Path) -> list[Requirement]:
    """The requirements of one package that are not our own packages."""
    ours = {canonicalize_name(tomllib.loads(path.read_text())["project"]["name"]) for path in PROJECTS}
    dependencies = tomllib.loads(project.read_text())["project"]["dependencies"]
    found = [Requirement(dependency) for dependency in dependencies]
    return [requirement for requirement in found if canonicalize_name(requirement.name) not in ours]


def versions_of(text: str) -> dict[str, str]:
    """Name -> version of a pip lock file."""
    pins = [match for line in text.splitlines() if (match := PIN.match(line))]
    return {canonicalize_name(match[1]): match[2] for match in pins}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_has_hashes_and_names_no_registry(lock: Path) -> None:
    assert versions_of(lock.read_text())
    assert faults_of(lock.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "h11==0.16.0\n",
        "h11>=0.16.0 \\\n    --hash=sha256:" + "0" * 64,
        "--index-url https://registry.example/simple\n",
        "h11 @ https://files.example/h11.whl --hash=sha256:" + "0" * 64,
    ],
)
def test_faulty_lock_is_found(text: str) -> None:
    assert faults_of(text)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_every_requirement_of_a_package_is_locked(project: Path) -> None:
    versions = versions_of(SHIPPED.read_text())
    missing = [
        str(requirement)
        for requirement in third_party(project)
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"))
    ]
    assert missing == [], "`make lock`"


def test_npm_lock_has_integrity_and_names_no_registry() -> None:
    text = NPM_LOCK.read_text()
    assert npm_faults_of(json.loads(text)) == []
    assert "registry." not in text


def test_faulty_npm_lock_is_found() -> None:
    entry = {"version": "1.0.0", "resolved": "https://registry.example/a.tgz"}
    assert len(npm_faults_of({"packages": {"": {}, "node_modules/a": entry}})) == 2
