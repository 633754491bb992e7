"""Fixtures for every folder: real servers on free ports, and the check of log formats."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, chromium
from tests.support.ftp import FtpServer, pyftpd
from tests.support.logs import checked_formats
from tests.support.mosquitto import Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer, nats_server
from tests.support.postgres import Postgres, postgres_server
from tests.support.processes import descendants, is_alive
from tests.support.pty_pair import PtyPair, pty_pair
from tests.support.tls import Authority

# A job in the background of a shell ignores SIGINT, and so would the programs that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Fail when a process that a test started still runs after the last one."""
    yield
    left = [process for process in descendants(os.getpid()) if is_alive(process)]
    assert not left, f"the tests left processes behind: {left}"


@pytest.fixture(autouse=True)
def _log_formats() -> Iterator[None]:
    """Fail a test that logs a message which does not fit its arguments."""
    with checked_formats() as check:
        yield
    assert not check.faults, "log messages with a wrong format:\n" + "\n".join(check.faults)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A NATS server with JetStream on disk."""
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A Mosquitto broker that lets everybody in."""
    async with mosquitto_broker(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
async def ftp(tmp_path: Path) -> AsyncIterator[FtpServer]:
    """pyftpdlib with one user."""
    async with pyftpd(tmp_path / "pyftpd") as server:
        yield server


@pytest.fixture
async def postgres() -> AsyncIterator[Postgres]:
    """A PostgreSQL cluster with one empty database."""
    async with postgres_server() as server:
        yield server


@pytest.fixture
async def serial_line() -> AsyncIterator[PtyPair]:
    """Two linked pseudo-terminals."""
    async with pty_pair() as pair:
        yield pair


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with chromium(tmp_path / "chromium") as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path / "tls")
