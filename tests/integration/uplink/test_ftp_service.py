"""uplink as a process against an FTP server: what was read is in files, each reading in exactly one."""

import csv
import json
import random
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.channels import EVENT
from ccm_contracts.config.services import Backlog, Ftp, Historic, HistoricFtp
from ccm_contracts.messages import Event
from ccm_contracts.state import FtpOutbox
from ccm_contracts.types import MASK, Secret
from ccm_contracts.verb_table import FTP_SEND, FTP_TEST
from ccm_contracts.verbs.uplink import FtpSend, FtpSendStarted, HistoryQuery, LinkTest, Series
from ccm_kit.bus import Bus
from ccm_kit.errors import CcmError
from ccm_uplink.spool.spool import MOST_SPOOL_MB
from tests.integration.uplink.site import (
    START,
    Uplink,
    configure,
    connected,
    history,
    link_state,
    on_bus,
    once_ready,
    publish,
    reading,
    refused,
    stored,
    uplink_process,
)
from tests.support.ftp import FtpServer, pyftpd
from tests.support.nats import NatsServer
from tests.support.wait import until


@pytest.fixture
async def reader(nats: NatsServer) -> AsyncIterator[Bus]:
    async with on_bus(nats, "bus-reader") as bus:
        yield bus


@pytest.fixture
async def api(nats: NatsServer) -> AsyncIterator[Bus]:
    async with on_bus(nats, "api") as bus:
        yield bus


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[FtpServer]:
    async with pyftpd(tmp_path / "pyftpd") as server:
        yield server


@pytest.fixture
async def uplink(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Uplink]:
    async with uplink_process(nats, tmp_path / "uplink") as running:
        yield running


def ftp(server: FtpServer, **more: Any) -> Ftp:
    given = {"user": server.user, "password": Secret(server.password), "directory": "/data/site", **more}
    return Ftp(enabled=True, port=server.port, **given)


async def enable(api: Bus, uplink: Uplink, settings: Ftp, **historic: Any) -> None:
    await configure(api, uplink, "timezone", "Europe/Madrid")
    await configure(
        api, uplink, "historic", Historic(ftp=HistoricFtp(enabled=True, every_s=3600), **historic)
    )
    await configure(api, uplink, "ftp", settings)


async def send_now(api: Bus) -> FtpSendStarted:
    return await api.call(FTP_SEND, FtpSend(), issued_by="test")


async def outbox(api: Bus) -> FtpOutbox:
    state = await link_state(api, "ftp")
    return state.ftp if state and state.ftp else FtpOutbox()


async def collected(api: Bus, count: int) -> None:
    """So many messages are safe in the spool."""

    async def is_there() -> bool:
        state = await link_state(api, "ftp")
        return state is not None and state.delivered >= count and state.pending == 0

    await until(is_there, deadline_s=20, what=f"{count} messages in the spool")


async def all_sent(api: Bus) -> FtpOutbox:
    async def is_empty() -> FtpOutbox | None:
        found = await outbox(api)
        return found if found.last_file and not found.files and not found.sending else None

    found = await until(is_empty, deadline_s=30, what="an empty outbox")
    assert found
    return found


def seqs_at(server: FtpServer) -> list[int]:
    """The `seq` of every row of every complete CSV file at the server."""
    found = []
    for name in server.names():
        if name.endswith(".part"):  # being sent, then renamed
            continue
        with (server.files / name).open(newline="", encoding="utf-8") as file:
            found += [int(row["seq"]) for row in csv.DictReader(file)]
    return found


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_file_says_the_same_as_history(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer, kind: str
) -> None:
    await enable(api, uplink, ftp(peer), format=kind)
    await connected(api, "ftp")
    await publish(
        reader, *(reading(seq, p=seq * 0.1, e_imp=1000 + seq, status="run") for seq in range(1, 21))
    )
    await collected(api, 20)
    started = await send_now(api)
    assert (started.files, started.sent_files_at_end) == (1, 1)
    done = await all_sent(api)
    assert peer.names() == [f"data/site/{done.last_file}"]
    read = _read_csv if kind == "csv" else _read_json
    await stored(api, 20)
    kept = await history(api, HistoryQuery(device="grid", start=START, end=START + timedelta(hours=1)))
    for series in kept.series:
        wanted = [(point[0], point[1]) for point in series.points]
        found = read(peer.files / peer.names()[0], series.metric, series.unit)
        # History keeps a text when it changes.
        assert (found[:1] if series.metric == "status" else found) == wanted
    assert {series.metric for series in kept.series} == {"p", "e_imp", "status"}


async def test_file_has_the_periods_of_history(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    await enable(api, uplink, ftp(peer), latency_s=60)
    await connected(api, "ftp")
    sent = (reading(seq, p=seq * 0.1, e_imp=1000.0 + seq) for seq in range(200))
    await publish(reader, *sent)
    await collected(api, 200)
    await send_now(api)
    await all_sent(api)
    query = HistoryQuery(device="grid", start=START, end=START + timedelta(hours=1))

    async def rolled() -> list[Series] | None:
        found = (await history(api, query)).series
        return found if found and all(len(each.points) >= 3 for each in found) else None

    minutes = await until(rolled, deadline_s=20, what="the minutes in history")
    assert minutes
    path = peer.files / peer.names()[0]
    for series in minutes:
        figures = ("last",) if series.stat == "last" else ("mean", "min", "max")
        for place, figure in enumerate(figures, start=1):
            wanted = [(point[0], point[place]) for point in series.points]
            assert _read_csv(path, f"{series.metric} {figure}", series.unit)[: len(wanted)] == wanted


def _ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    assert moment.utcoffset() == timedelta(hours=2), "Madrid's summer time"
    return round(moment.timestamp() * 1000)


def _read_csv(path: Path, metric: str, unit: str) -> list[tuple[int, float | str]]:
    column = f"{metric} [{unit}]" if unit else metric
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(_ms(row["time"]), float(row[column]) if unit else row[column]) for row in rows]


def _read_json(path: Path, metric: str, unit: str) -> list[tuple[int, float | str]]:
    document = json.loads(path.read_text())
    assert document["units"][metric] == unit
    return [(_ms(each["ts"]), each["values"][metric]) for each in document["readings"]]


async def test_outage_is_told_and_files_wait_for_the_server(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    await enable(api, uplink, ftp(peer))
    await connected(api, "ftp")
    await peer.stop()
    for seq in (1, 2, 3):
        await publish(reader, reading(seq))
        await collected(api, seq)
        await send_now(api)
    assert "nobody listens" in await refused(api, "ftp")
    await until(lambda: _has(api, files=3), deadline_s=10, what="three files in the link's state")
    await peer.start()
    await send_now(api)  # does not wait for the next attempt
    await all_sent(api)
    assert seqs_at(peer) == [1, 2, 3]
    assert [name[-10:] for name in peer.names()] == ["000001.csv", "000002.csv", "000003.csv"]


async def _has(api: Bus, **wanted: Any) -> bool:
    found = await outbox(api)
    return all(getattr(found, name) == value for name, value in wanted.items())


async def test_full_spool_leaves_readings_in_the_stream(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    """A file of 512 MB (without content on disk) waits already, and the server is away."""
    await peer.stop()
    waiting = uplink.directory / "ftp" / "files" / "CCM000042_20260501T140000+0200_000001.csv"
    waiting.parent.mkdir(parents=True)
    with waiting.open("wb") as file:
        file.truncate(MOST_SPOOL_MB * 1024 * 1024)
    await enable(api, uplink, ftp(peer))
    assert "nobody listens" in await refused(api, "ftp")
    await publish(reader, reading(1))
    told = await until(
        lambda: api.last(EVENT, source="uplink", kind="ftp-spool-full"), deadline_s=20, what="an event"
    )
    assert told
    assert told.severity == "error"

    async def is_owed() -> bool:
        state = await link_state(api, "ftp")
        return state is not None and state.pending == 1

    await until(is_owed, deadline_s=20, what="the reading in the stream")
    await uplink.kill()
    waiting.unlink()
    await peer.start()
    await uplink.start()
    await until(lambda: _sent(api, peer, 1), deadline_s=40, what="the reading at the server")
    assert seqs_at(peer) == [1]


async def test_wrong_password_is_told_without_it_and_mended_by_a_new_configuration(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    await enable(api, uplink, ftp(peer, password=Secret("hush-hush")))
    error = await refused(api, "ftp")
    assert error.startswith("login: the server refuses the user or the password")
    await publish(reader, reading(1))
    await collected(api, 1)
    await send_now(api)
    await configure(api, uplink, "ftp", ftp(peer))
    await all_sent(api)
    assert seqs_at(peer) == [1]
    assert "hush-hush" not in uplink.log


async def test_test_uses_the_stored_password_where_it_is_masked(
    api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    await enable(api, uplink, ftp(peer))
    await connected(api, "ftp")
    shown = ftp(peer).model_dump(mode="json")
    assert shown["password"] == MASK
    report = await api.call(FTP_TEST, LinkTest(settings=shown), issued_by="test")
    assert report.ok
    new = {**shown, "password": uplink.box.seal("wrong")}
    report = await api.call(FTP_TEST, LinkTest(settings=new), issued_by="test")
    assert report.steps[-1].step == "login"
    with pytest.raises(CcmError) as caught:
        await api.call(FTP_TEST, LinkTest(settings={**shown, "port": 0}), issued_by="test")
    assert caught.value.field == "port"


async def test_send_now_says_why_it_cannot(api: Bus, uplink: Uplink) -> None:
    with pytest.raises(CcmError, match="FTP sending is off"):
        await once_ready(api, FTP_SEND, FtpSend())


async def test_file_is_made_when_its_period_ends(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    """What an earlier run collected in a period that is over becomes a file at once, named after the period."""
    await enable(api, uplink, ftp(peer))
    await connected(api, "ftp")
    await publish(reader, reading(1))
    await collected(api, 1)
    await uplink.kill()
    journal = next((uplink.directory / "ftp").glob("*.journal"))
    journal.rename(journal.with_name("000001-20260501T113000.journal"))
    await uplink.start()
    await all_sent(api)
    (name,) = peer.names()
    assert re.search(r"T\d\d0000\+0[12]00_000001\.csv$", name), "named after a full hour"
    assert seqs_at(peer) == [1]


async def test_period_waits_for_what_a_killed_uplink_left_on_the_bus(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    """A file is due at once, and the second half of its minute is not in the spool yet: one row, as in history."""
    await enable(api, uplink, ftp(peer), latency_s=60)
    await connected(api, "ftp")
    await publish(reader, *(reading(seq, p=float(seq)) for seq in range(30)))
    await collected(api, 30)
    await uplink.kill()
    await publish(reader, *(reading(seq, p=float(seq)) for seq in range(30, 60)))
    journal = next((uplink.directory / "ftp").glob("*.journal"))
    journal.rename(journal.with_name("000001-20260501T113000.journal"))
    await uplink.start()
    await all_sent(api)
    (name,) = peer.names()
    # of the seconds 0 to 59 of the minute
    wanted = round(START.timestamp() * 1000)
    assert _read_csv(peer.files / name, "p mean", "W") == [(wanted, 29.5)]
    assert _read_csv(peer.files / name, "p max", "W") == [(wanted, 59.0)]


async def test_used_up_budget_holds_a_file_where_it_is_and_it_goes_on_there(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    await enable(api, uplink, ftp(peer, backlog=Backlog(bytes_per_day=50_000)))
    await connected(api, "ftp")
    await publish(reader, *(reading(seq) for seq in range(2500)))
    await collected(api, 2500)
    before = await link_state(api, "ftp")
    assert before is not None
    assert (before.bytes_today, before.budget_left) == (0, 50_000), "what is only collected costs nothing"
    started = await send_now(api)
    assert started.bytes > 100_000

    async def is_told() -> Event | None:
        return await api.last(EVENT, source="uplink", kind="budget-used-up")

    event = await until(is_told, deadline_s=20, what="an event")
    assert event is not None
    assert "files wait on the gateway's disk" in event.message

    def held() -> int | None:
        (size,) = [(peer.files / name).stat().st_size for name in peer.names()]
        return size if size >= 50_000 else None

    most = await until(held, deadline_s=10, what="what was sent to be in the server's file")
    assert most is not None
    assert most <= 50_000 + 64 * 1024, "a block more at most, and what it is cut into"
    assert [name[-9:] for name in peer.names()] == [".csv.part"]
    await configure(api, uplink, "ftp", ftp(peer))
    await all_sent(api)
    assert seqs_at(peer) == list(range(2500))
    after = await link_state(api, "ftp")
    assert after is not None
    assert started.bytes <= after.bytes_today < 1.1 * started.bytes, "what was there was not sent again"


async def test_killed_at_random_each_reading_is_in_exactly_one_file(
    reader: Bus, api: Bus, uplink: Uplink, peer: FtpServer
) -> None:
    dice = random.Random(11)
    await enable(api, uplink, ftp(peer))
    await connected(api, "ftp")
    seq = 0
    for _ in range(KILLS):
        for _ in range(dice.randrange(1, 5)):
            await publish(reader, *(reading(seq + step) for step in range(40)))
            seq += 40
            await _try_to_send(api)
        if dice.random() < 0.5:
            await peer.kill()
        await uplink.kill()
        await uplink.start()
        if peer.is_down:
            await peer.start()
    await until(lambda: _sent(api, peer, seq), deadline_s=60, what=f"{seq} readings at the server")
    assert sorted(seqs_at(peer)) == list(range(seq))
    assert not [name for name in peer.names() if not name.endswith(".csv")]


KILLS = 6


async def _try_to_send(api: Bus) -> None:
    try:
        await send_now(api)
    except CcmError:  # it is starting
        return


async def _sent(api: Bus, server: FtpServer, count: int) -> bool:
    await _try_to_send(api)
    return len(seqs_at(server)) >= count and not (await outbox(api)).files
