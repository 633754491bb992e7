"""What a missing peer does to a test."""

import re
from pathlib import Path

import pytest

from tests.support.peers import PACKAGES, need

SCRIPT = Path(__file__).parents[3] / "scripts" / "peers.sh"


def test_missing_peer_skips_and_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("tests.support.peers.SEARCH_PATH", "/nonexistent")
    with pytest.raises(pytest.skip.Exception, match=r"Debian package mosquitto-clients.*make test"):
        need("mosquitto_sub")


def test_missing_peer_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("tests.support.peers.SEARCH_PATH", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="with CI=true every peer must be there"):
        need("vsftpd")


def test_script_installs_the_package_of_each_peer() -> None:
    missing = SCRIPT.read_text().partition("missing() {")[2].partition("\n}")[0]
    installed = {
        package
        for names in re.findall(r"(?:echo|printf '%s\\n') ([a-z0-9 -]+)", missing)
        for package in names.split()
    }
    assert installed == set(PACKAGES.values()) | {"libc6-dev"}  # the compiler's headers
