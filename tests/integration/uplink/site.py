"""What the uplink tests share: a bus-reader's and an api's place on the bus, and uplink as a process."""

import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ccm_contracts.channels import LINK_STATE, TELEMETRY, Service
from ccm_contracts.messages import Reading
from ccm_contracts.state import LinkState
from ccm_contracts.verb_table import HISTORY, LEDGER, Verb
from ccm_contracts.verbs.uplink import HistoryAnswer, HistoryQuery, Ledger, LedgerQuery
from ccm_kit.bus import A, Bus, R
from ccm_kit.errors import CcmError, UnavailableError
from ccm_kit.secrets import SecretBox
from tests.support.bus import bus_as, service_env
from tests.support.nats import NatsServer
from tests.support.processes import Child
from tests.support.wait import until

GATEWAY = "CCM000042"
START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def reading(seq: int, device: str = "grid", ts: datetime | None = None, **values: Any) -> Reading:
    """One reading a second from `START` on, with `p` = 10 * seq unless told otherwise."""
    return Reading(
        gateway=GATEWAY,
        device=device,
        ts=ts or START + timedelta(seconds=seq),
        values=values or {"p": 10 * seq},
        seq=seq,
    )


def on_bus(nats: NatsServer, service: Service) -> AbstractAsyncContextManager[Bus]:
    """The bus as `service` sees it."""
    return bus_as(nats, service, GATEWAY)


async def publish(bus: Bus, *readings: Reading) -> None:
    """Each is on disk in the stream when this returns."""
    for each in readings:
        await bus.publish(TELEMETRY, each, msg_id=f"{each.device}-{each.seq}", device=each.device)


class Uplink:
    """`python -m ccm_uplink`, which can be killed and started again on the same data."""

    def __init__(self, nats: NatsServer, directory: Path, **env: str) -> None:
        self.directory = directory
        self.database = directory / "history.db"
        self.box = SecretBox(directory / "secret.key")
        self._env = {
            **service_env(nats, directory, GATEWAY),
            "CCM_LOG": "json",
            **env,
        }
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    @property
    def log(self) -> str:
        return self._child.output if self._child else ""

    async def start(self) -> None:
        self._child = Child.spawn(
            [sys.executable, "-m", "ccm_uplink"], log=self.directory / "uplink.log", env=self._env
        )
        await self._child.printed('"event": "started"', deadline_s=20)

    async def stop(self) -> int:
        return await self._child.stop() if self._child else 0

    async def kill(self) -> None:
        assert self._child
        await self._child.kill()

    def stored(self, device: str = "grid") -> list[int]:
        """The sequence numbers in the ledger, read by SQLite's own means."""
        if not self.database.exists():
            return []
        question = "SELECT seq FROM reading JOIN device ON device.id = device_id WHERE name = ? ORDER BY seq"
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            try:
                found = [row[0] for row in connection.execute(question, (device,))]
            except sqlite3.OperationalError:  # the schema is not there yet
                found = []
        connection.close()
        return found


@asynccontextmanager
async def uplink_process(nats: NatsServer, directory: Path, **env: str) -> AsyncIterator[Uplink]:
    """A running uplink with its data in `directory`."""
    uplink = Uplink(nats, directory, **env)
    try:
        await uplink.start()
        yield uplink
    finally:
        await uplink.stop()


async def configure(bus: Bus, uplink: Uplink, section: str, value: Any) -> None:
    """Write a section of the configuration, as the api does."""
    await bus.write_config(section, value, seal=uplink.box.seal)


async def link_state(bus: Bus, link: str) -> LinkState | None:
    return await bus.last(LINK_STATE, id=link)


async def connected(bus: Bus, link: str, *, deadline_s: float = 15) -> LinkState:
    """The link's state, once it is enabled and connected."""

    async def is_connected() -> LinkState | None:
        state = await link_state(bus, link)
        return state if state is not None and state.enabled and state.connected else None

    state = await until(is_connected, deadline_s=deadline_s, what=f"the link {link}")
    assert state
    return state


async def refused(bus: Bus, link: str, *, deadline_s: float = 20) -> str:
    """The link's error, once it has one."""

    async def error() -> str | None:
        state = await link_state(bus, link)
        return state.error if state is not None else None

    text = await until(error, deadline_s=deadline_s, what=f"an error of the link {link}")
    assert text
    return text


async def history(api: Bus, query: HistoryQuery) -> HistoryAnswer:
    """The answer, once the database can be asked."""
    return await once_ready(api, HISTORY, query)


async def stored(api: Bus, last: int, device: str = "grid") -> None:
    """Returns once the device's reading `last` is in the database."""

    async def is_there() -> bool:
        rows = (await ledger(api)).devices
        return any(row.device == device and row.last_seq >= last for row in rows)

    await until(is_there, deadline_s=15, what=f"reading {last} in the ledger", interval_s=0.2)


async def ledger(api: Bus) -> Ledger:
    """The ledger, once the database can be asked."""
    return await once_ready(api, LEDGER, LedgerQuery())


async def once_ready(api: Bus, verb: Verb[A, R], args: A) -> R:
    """The answer, once the service and what it needs are there."""

    async def answer() -> R | None:
        try:
            return await api.call(verb, args, issued_by="test")
        except CcmError as err:
            if not (isinstance(err, UnavailableError) or err.code == UnavailableError.code):
                raise
            return None

    found = await until(answer, deadline_s=15, what=f"an answer of {verb.name}")
    assert found is not None
    return found
