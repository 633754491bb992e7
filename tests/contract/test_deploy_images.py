"""The images: unprivileged, one service each, with nothing but what that service needs."""

import re
from pathlib import Path

import pytest

from ccm_contracts.channels import SERVICES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
VERSION = (ROOT / "VERSION").read_text().strip()


def package_of(service: str) -> str:
    return f"ccm_{service.replace('-', '_')}"


def stages() -> dict[str, tuple[str, list[str]]]:
    """Stage -> what it builds on, and its instructions."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    found: dict[str, tuple[str, list[str]]] = {}
    current: list[str] = []
    for line in lines:
        if match := re.match(r"FROM (\S+) AS (\S+)$", line):
            current = []
            found[match[2]] = (match[1], current)
        else:
            current.append(line)
    return found


def test_images_derive_from_one_unprivileged_runtime() -> None:
    base, instructions = stages()["runtime"]
    assert base == "${PYTHON_IMAGE}"
    assert "USER 10001:10001" in instructions
    assert "STOPSIGNAL SIGTERM" in instructions
    health = next(line for line in instructions if line.startswith("HEALTHCHECK"))
    assert health.endswith('CMD ["python", "-m", "ccm_kit.health"]')
    environment = next(line for line in instructions if line.startswith("ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "CCM_ALIVE_FILE=/tmp/alive" in environment
    assert "ARG PYTHON_IMAGE=python:3.13-slim" in DOCKERFILE
    assert f"ARG VERSION={VERSION}" in instructions


@pytest.mark.parametrize("service", SERVICES)
def test_image_of_a_service_holds_only_its_own_environment(service: str) -> None:
    base, instructions = stages()[service]
    assert base == "runtime"
    assert [line for line in instructions if line.startswith("COPY")] == [
        f"COPY --from=build-{service} /venv /venv"
    ]
    assert instructions[-1] == f'ENTRYPOINT ["python", "-m", "{package_of(service)}"]'
    assert not [line for line in instructions if line.startswith(("USER", "RUN", "ADD", "HEALTHCHECK"))]
    _, building = stages()[f"build-{service}"]
    assert {line.split()[1] for line in building if line.startswith("COPY services")} == {
        f"services/{service}/"
    }


def test_only_the_portal_needs_node_and_only_api_the_portal() -> None:
    users = {name for name, (_, lines) in stages().items() if any("--from=portal" in line for line in lines)}
    assert users == {"build-api"}
    assert [name for name, (base, _) in stages().items() if base == "${NODE_IMAGE}"] == ["portal"]


def test_no_instruction_takes_a_secret_or_an_address() -> None:
    assert not re.search(r"(?i)password|token|secret|https?://|index-url", DOCKERFILE)


def test_copied_paths_are_in_the_build_context() -> None:
    allowed = [
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert any(source.rstrip("/").startswith(path) for path in allowed), source
