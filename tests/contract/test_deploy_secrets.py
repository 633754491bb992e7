"""What a gateway is given besides its images: secrets made once, and a health check."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ccm_contracts.channels import SERVICES
from ccm_contracts.permissions import ADMIN, password_variable
from ccm_kit.health import OLDEST_S
from ccm_kit.secrets import SecretBox

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize(("age_s", "status"), [(0, 0), (OLDEST_S - 5, 0), (OLDEST_S + 5, 1), (None, 1)])
def test_health_check_tells_the_living_from_the_dead(
    tmp_path: Path, age_s: float | None, status: int
) -> None:
    alive = tmp_path / "alive"
    if age_s is not None:
        alive.touch()
        moment = alive.stat().st_mtime - age_s
        os.utime(alive, (moment, moment))
    done = subprocess.run(
        [sys.executable, "-m", "ccm_kit.health"],
        env={**os.environ, "CCM_ALIVE_FILE": str(alive)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == status


def test_health_check_imports_almost_nothing() -> None:
    code = "import sys, ccm_kit.health; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(ROOT / "libs" / "kit")},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert {name for name in modules if name.startswith("ccm")} == {"ccm_kit", "ccm_kit.health"}
    assert not modules & {"asyncio", "logging", "json", "pathlib", "pydantic", "nats"}


def make_secrets(folder: Path) -> dict[str, str]:
    env = {
        **os.environ,
        "CCM_SECRETS_DIR": str(folder / "secrets"),
        "CCM_STATE_DIR": str(folder / "state"),
        "CCM_UID": str(os.getuid()),
    }
    subprocess.run([DEPLOY / "secrets.sh"], env=env, check=True, capture_output=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_secrets_are_private_different_and_made_once(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    assert made.keys() == {
        "secret.key",
        "passwords.conf",
        *(f"{user}.password" for user in (ADMIN, *SERVICES)),
    }
    assert len(set(made.values())) == len(made)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert make_secrets(tmp_path) == made


def test_server_gets_every_password_under_the_name_that_its_configuration_asks_for(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    for user in (ADMIN, *SERVICES):
        expected = f'{password_variable(user)}: "{made[f"{user}.password"].strip()}"'
        assert expected in made["passwords.conf"].splitlines()


def test_made_key_opens_what_it_sealed(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    box = SecretBox(tmp_path / "secrets" / "secret.key")
    assert box.unseal(box.seal("x")) == "x"
