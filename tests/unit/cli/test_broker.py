"""The embedded server's files: private, kept, and accepted by the real server."""

import socket
import stat
import subprocess
from pathlib import Path

import pytest

from ccm_contracts.channels import SERVICES
from ccm_contracts.permissions import ADMIN, users_block
from ccmaster.broker import Broker, configuration, is_free, password_in, server_binary, write_private
from tests.support.ports import free_port


def test_password_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "nats" / "io.password"
    first = password_in(path)
    assert password_in(path) == first
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mqtt_port", [None, 1883])
def test_real_server_accepts_the_configuration(tmp_path: Path, mqtt_port: int | None) -> None:
    passwords = {user: f"password-of-{user}" for user in (ADMIN, *SERVICES)}
    broker = Broker(tmp_path / "nats", 4222, mqtt_port, users_block("CCM1", passwords))
    write_private(broker.config, configuration(broker))
    done = subprocess.run(
        [server_binary(), "-t", "-c", str(broker.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr


def test_port_is_free_until_somebody_listens() -> None:
    port = free_port()
    assert is_free(port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert not is_free(port)
