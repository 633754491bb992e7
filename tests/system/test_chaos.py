"""Broker, FTP server, NATS and uplink killed at random while readings flow: each one at MQTT, in history, in a file.

`CCM_CHAOS_S=600` for the long run; `CCM_CHAOS_SEED` to repeat one. What was killed and when is printed. uplink, NATS
and the FTP server get SIGKILL. What the broker gets is in `CCM_CHAOS_BROKER`:

stop    its connections are cut, it ends in good order and has all that it confirmed;
kill    SIGKILL, and it starts again with what it saved in the second before;
forget  SIGKILL, and it starts again with nothing.

With the last two a reading that it had confirmed at QoS 2 and not handed over may be lost or come twice, whatever the
sender does (README of uplink): these are counted and printed, and what history has stays exact.
"""

import asyncio
import csv
import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.services import Ftp, Historic, HistoricFtp, Mqtt
from ccm_contracts.types import Secret
from ccm_contracts.verb_table import FTP_SEND
from ccm_contracts.verbs.uplink import FtpSend
from ccm_kit.bus import Bus
from ccm_kit.errors import CcmError
from tests.integration.uplink.site import (
    Uplink,
    configure,
    connected,
    ledger,
    on_bus,
    reading,
    uplink_process,
)
from tests.support.ftp import FtpServer, pyftpd
from tests.support.mosquitto import BrokerOptions, Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer, nats_server
from tests.support.proxy import Proxy, proxy
from tests.support.wait import every, until
from tests.support.witness import Witness, witness

pytestmark = pytest.mark.system
CHAOS_S: Final = float(os.environ.get("CCM_CHAOS_S", "30"))
SEED: Final = int(os.environ.get("CCM_CHAOS_SEED", "11"))
"""Of who is killed when; another one for each long run."""
BROKER: Final = os.environ.get("CCM_CHAOS_BROKER", "stop")
SAVES_EACH_SECOND: Final = "\nautosave_on_changes false"
DEVICES: Final = ("grid", "roof", "farm")
PER_S: Final = 20
"""Readings of each device a second."""
SETTLES_S: Final = 60.0
START: Final = datetime(2026, 5, 1, tzinfo=UTC)


class Meters:
    """Readings into the outbox of a bus-reader, which keeps them while NATS is away."""

    def __init__(self, reader: Bus) -> None:
        self._reader = reader
        self.count = 0
        """Of each device."""

    async def run(self) -> None:
        async for number in every(1 / PER_S):
            for device in DEVICES:
                at = START + timedelta(milliseconds=50 * number)
                message = reading(number, device, ts=at, p=number)
                self._reader.say(TELEMETRY, message, msg_id=f"{device}-{number}", device=device)
            self.count = number + 1


async def _torment(chance: random.Random, victims: dict[str, Callable[[], Awaitable[None]]]) -> list[str]:
    """Kill one or two at a time until the time is over; each is back before the next is chosen."""
    started, told = time.monotonic(), []
    while time.monotonic() - started < CHAOS_S:
        await asyncio.sleep(chance.uniform(0.3, 4.0))
        chosen = chance.sample(sorted(victims), chance.choice([1, 1, 2]))
        told.append(f"{time.monotonic() - started:.1f}:{'+'.join(chosen)}")
        await asyncio.gather(*(victims[name]() for name in chosen))
    return told


def _reborn(victim: NatsServer | FtpServer | Uplink, chance: random.Random) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        await victim.kill()
        await asyncio.sleep(chance.choice([0.0, 0.2, 2.0]))
        await victim.start()

    return act


def _broker_reborn(broker: Mosquitto, line: Proxy, chance: random.Random) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        line.refuse()
        line.cut()
        await broker.stop()
        await asyncio.sleep(chance.choice([0.0, 0.2, 2.0]))
        await broker.start()
        await until(lambda: "as receiver" in broker.log, deadline_s=60, what="the subscriber")
        await line.start()

    async def kill() -> None:
        await broker.kill()
        await asyncio.sleep(chance.choice([0.0, 0.2, 2.0]))
        await broker.start()

    return stop if BROKER == "stop" else kill


def _at_broker(listener: Witness) -> Counter[tuple[str, int]]:
    return Counter(
        (topic.rsplit("/", 1)[1], json.loads(payload)["seq"]) for topic, payload in list(listener.heard)
    )


def _in_history(uplink: Uplink) -> Counter[tuple[str, int]]:
    question = "SELECT name, seq FROM reading JOIN device ON device.id = device_id"
    with sqlite3.connect(f"file:{uplink.database}?mode=ro", uri=True) as connection:
        found = Counter((row[0], row[1]) for row in connection.execute(question))
    connection.close()
    return found


def _in_files(server: FtpServer) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for name in server.names():
        if name.endswith(".csv"):
            with (server.files / name).open(newline="", encoding="utf-8") as file:
                found.update((row["device"], int(row["seq"])) for row in csv.DictReader(file))
    return found


@pytest.mark.parametrize("qos", [1, 2])
async def test_everything_arrives_whatever_is_killed(tmp_path: Path, qos: int) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201
    # Mosquitto drops what it cannot queue for a slow subscriber: 0 is without limit
    options = BrokerOptions(
        is_persistent=BROKER != "forget",
        extra="max_queued_messages 0" + SAVES_EACH_SECOND * (BROKER == "kill"),
    )
    on_disk = f'jetstream {{ store_dir: "{tmp_path / "js"}", sync_interval: always }}'
    async with (
        nats_server(tmp_path / "nats", config=on_disk) as nats,
        mosquitto_broker(tmp_path / "broker", options) as broker,
        proxy(broker.port) as line,
        pyftpd(tmp_path / "pyftpd") as files,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        witness(broker.port, "/ccm/srv/telemetry/#", qos=qos, client_id="receiver") as listener,
    ):
        await configure(api, uplink, "mqtt", Mqtt(enabled=True, port=line.port, latency_s=0, qos=qos))
        sent = Historic(ftp=HistoricFtp(enabled=True, every_s=60))
        await configure(api, uplink, "historic", sent)
        account = {"user": files.user, "password": Secret(files.password)}
        await configure(api, uplink, "ftp", Ftp(enabled=True, port=files.port, **account))
        await connected(api, "ftp")
        await connected(api, "mqtt")  # a link sends what is measured from when it is switched on
        meters = Meters(reader)
        measuring = asyncio.create_task(meters.run(), name="meters")
        victims = {
            "nats": _reborn(nats, chance),
            "broker": _broker_reborn(broker, line, chance),
            "uplink": _reborn(uplink, chance),
            "ftp": _reborn(files, chance),
        }
        try:
            told = await _torment(chance, victims)
        finally:
            measuring.cancel()
        print(f"killed {len(told)} times: {' '.join(told)}")  # noqa: T201
        await reader.outbox.flushed()
        expected = {(device, seq) for device in DEVICES for seq in range(meters.count)}
        await until(
            lambda: set(_in_history(uplink)) >= expected, deadline_s=SETTLES_S, what="history", interval_s=0.5
        )
        received = await _received(listener, expected)
        missing, twice = expected - set(received), sum(count > 1 for count in received.values())
        print(f"{len(expected)} readings, {len(missing)} missing, {twice} twice at QoS {qos}")  # noqa: T201
        assert _in_history(uplink) == Counter(expected)
        if qos == 1 or BROKER == "stop":
            assert missing == set()
        if qos == 2 and BROKER == "stop":
            assert twice == 0
        await until(
            lambda: _is_in_files(api, files, expected), deadline_s=SETTLES_S, what="files", interval_s=1.0
        )
        assert _in_files(files) == Counter(expected)
        await _ledger_agrees(api, meters.count - 1)


async def _received(listener: Witness, expected: set[tuple[str, int]]) -> Counter[tuple[str, int]]:
    """What arrived, once all of it did, or when nothing new has come for `SETTLES_S`."""
    received, since = _at_broker(listener), time.monotonic()
    while not set(received) >= expected and time.monotonic() - since < SETTLES_S:
        await asyncio.sleep(0.5)
        if (now := _at_broker(listener)) != received:
            received, since = now, time.monotonic()
    return received


async def _is_in_files(api: Bus, server: FtpServer, expected: set[tuple[str, int]]) -> bool:
    with suppress(CcmError):  # it is starting
        await api.call(FTP_SEND, FtpSend(), issued_by="test")
    return set(_in_files(server)) >= expected


async def _ledger_agrees(api: Bus, last: int) -> None:
    async def is_complete() -> bool:
        books = {book.link: book for book in (await ledger(api)).links}
        return all(
            link in books
            and [(each.device, each.last_seq, each.complete_to) for each in books[link].devices]
            == [(device, last, last) for device in sorted(DEVICES)]
            and (books[link].dropped, books[link].missing) == (0, [])
            for link in ("history", "mqtt", "ftp")
        )

    await until(is_complete, deadline_s=30, what="a ledger that agrees", interval_s=0.5)
