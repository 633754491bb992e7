"""Installs one service into a fresh virtual environment, for its container: `install_service.py solar /venv`.

Only what the service needs: pip resolves its packages under the versions of requirements.lock; that part of the
lock is then installed with its hashes checked. Runs with nothing but the standard library and pip.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("libs/contracts", "libs/kit")
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


def canonical(name: str) -> str:
    """The name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries_of(lock: str) -> Iterator[tuple[str, str]]:
    """Each entry of a lock file: canonical name, and its whole text with markers and hashes."""
    for entry in re.split(r"\n(?=\S)", lock):
        if match := _PIN.match(entry):
            yield canonical(match[1]), entry.rstrip() + "\n"


def pins_of(lock: str) -> str:
    """The lock without its hashes, as constraints: pip refuses unhashed local wheels beside hashed ones."""
    return "".join(entry.partition(" \\\n")[0].rstrip() + "\n" for _, entry in entries_of(lock))


def subset_of(lock: str, names: Set[str]) -> str:
    """The entries of these packages. Raises `KeyError` naming those that the lock lacks."""
    kept = [(name, entry) for name, entry in entries_of(lock) if name in names]
    missing = names - {name for name, _ in kept}
    if missing:
        raise KeyError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    return "".join(entry for _, entry in kept)


def _pip(*args: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, args)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def build_wheels(service: str, wheels: Path) -> list[Path]:
    """The wheels of the libraries and of the service."""
    sources = [ROOT / path for path in (*LIBRARIES, f"services/{service}")]
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *sources)
    return sorted(wheels.glob("*.whl"))


def needed_by(wheels: list[Path], lock: str, work: Path) -> set[str]:
    """Canonical names of every package that these wheels need, themselves left out."""
    constraints, report = work / "constraints.txt", work / "report.json"
    constraints.write_text(pins_of(lock))
    _pip(
        *("install", "--dry-run", "--ignore-installed", "--report", report, "--constraint", constraints),
        *wheels,
    )
    names = {canonical(each["metadata"]["name"]) for each in json.loads(report.read_text())["install"]}
    return {name for name in names if not name.startswith("ccm-")}


def install(service: str, target: Path) -> None:
    """Make the virtual environment `target`, without pip, and fill it."""
    lock = (ROOT / "requirements.lock").read_text()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        wheels = build_wheels(service, work / "wheels")
        subset = work / "subset.lock"
        subset.write_text(subset_of(lock, needed_by(wheels, lock, work)))
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)
        into = ("--python", target / "bin" / "python", "install", "--no-deps")
        _pip(*into, "--require-hashes", "--requirement", subset)
        _pip(*into, *wheels)
        _pip("--python", target / "bin" / "python", "check")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    install(options.service, options.target)


if __name__ == "__main__":
    main()
