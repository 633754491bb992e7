"""The programs that tests run as independent peers: where they are, or why the test is skipped."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Program -> Debian package. scripts/peers.sh installs them.
PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
    "vsftpd": "vsftpd",
    "chromium": "chromium",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "libmodbus": "libmodbus-dev",
    "systemd-analyze": "systemd",
    "tshark": "tshark",
    "postgres": "postgresql",
}
OTHER_NAMES = {"chromium": ("chromium-browser",)}
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"))


def find(peer: str) -> Path | None:
    """The peer's program (for a library its pkg-config name), or None when it is not installed."""
    if peer == "postgres" and (folder := os.environ.get("CCM_TEST_POSTGRES")):
        return Path(folder) / peer
    if peer == "postgres":
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version_of)
        return found[-1] if found else _which("postgres")
    if peer == "libmodbus":
        return _library(peer)
    names = (peer, *OTHER_NAMES.get(peer, ()))
    return next((path for path in map(_which, names) if path), None)


def need(peer: str) -> Path:
    """The peer's program; without it the test is skipped, or fails with CI=true."""
    if path := find(peer):
        return path
    package = PACKAGES[peer]
    if os.environ.get("CI") == "true":
        pytest.fail(
            f"{peer} is not installed (Debian package {package}); with CI=true every peer must be there"
        )
    pytest.skip(
        f"{peer} is not installed (Debian package {package}); ends when `make test` may install it with apt"
    )


def _which(name: str) -> Path | None:
    path = shutil.which(name, path=SEARCH_PATH)
    return Path(path) if path else None


def _version_of(path: Path) -> int:
    return int(path.parent.parent.name.partition(".")[0])


def _library(name: str) -> Path | None:
    tool = _which("pkg-config")
    if not tool or subprocess.run([tool, "--exists", name], check=False).returncode:
        return None
    return Path(name)
