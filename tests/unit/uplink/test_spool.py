"""The outbox of files: each message in exactly one file, whatever breaks off where."""

import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ccm_contracts.config.services import Historic
from ccm_contracts.messages import Reading
from ccm_uplink.formats.files import FileOptions
from ccm_uplink.spool.spool import Spool, SpoolFullError
from tests.support.processes import Child
from tests.support.wait import until

START = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
OPTIONS = FileOptions.of("CCM000042", ZoneInfo("Europe/Madrid"), Historic(format="csv"))
CHILD = Path(__file__).with_name("spool_child.py")


def line(seq: int) -> bytes:
    ts = START + timedelta(seconds=seq)
    reading = Reading(gateway="CCM000042", device="grid", ts=ts, values={"p": seq}, seq=seq)
    return reading.model_dump_json().encode()


def lines(*seqs: int) -> list[bytes]:
    return [line(seq) for seq in seqs]


def opened(directory: Path, **more: int) -> Spool:
    return Spool(directory, now=START, **more)


def seqs_in(path: Path) -> list[int]:
    return [int(row.split(",")[2]) for row in path.read_text().splitlines()[1:]]


def seqs_of(spool: Spool) -> list[list[int]]:
    return [seqs_in(file.path) for file in spool.waiting()]


def minutes(count: int) -> datetime:
    return START + timedelta(minutes=count)


def test_files_are_numbered_and_sent_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for count in (1, 2):
        spool.accept(lines(count))
        spool.cut(minutes(count), OPTIONS)
    assert [file.name for file in spool.waiting()] == [
        "CCM000042_20261124T230100+0100_000001.csv",
        "CCM000042_20261124T230200+0100_000002.csv",
    ]
    spool.remove(spool.waiting()[0])
    spool.close()
    again = opened(tmp_path)
    assert [file.sequence for file in again.waiting()] == [2]
    again.accept(lines(3))
    made = again.cut(minutes(3), OPTIONS)
    assert made is not None
    assert made.sequence == 3


def test_message_that_comes_again_is_not_written_twice(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.accept(lines(1, 2, 2))
    spool.accept(lines(2, 3))
    spool.cut(minutes(1), OPTIONS)
    spool.accept(lines(3, 4))
    spool.close()
    again = opened(tmp_path)
    again.accept(lines(1, 4, 5))
    again.cut(minutes(2), OPTIONS)
    assert seqs_of(again) == [[1, 2, 3], [4, 5]]


def test_period_without_readings_makes_no_file(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.cut(minutes(1), OPTIONS) is None
    assert spool.began == minutes(1)
    assert spool.waiting() == []


def test_torn_last_line_is_dropped_and_taken_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.accept(lines(1, 2))
    spool.close()
    journal = next(tmp_path.glob("*.journal"))
    journal.write_bytes(journal.read_bytes()[:-5])
    again = opened(tmp_path)
    again.accept(lines(2))
    again.cut(minutes(1), OPTIONS)
    assert seqs_of(again) == [[1, 2]]


def test_cut_that_broke_off_after_the_file_was_named_is_finished(tmp_path: Path) -> None:
    crashed, after = tmp_path / "crashed", tmp_path / "after"
    spool = opened(crashed)
    spool.accept(lines(1, 2))
    spool.close()
    shutil.copytree(crashed, after)
    done = opened(after)
    made = done.cut(minutes(1), OPTIONS)
    assert made is not None
    shutil.copy(made.path, crashed / "files" / made.name)
    again = opened(crashed)
    again.accept(lines(2, 3))
    again.cut(minutes(2), OPTIONS)
    assert seqs_of(again) == [[1, 2], [3]]
    assert [file.sequence for file in again.waiting()] == [1, 2]


def test_journal_that_became_a_file_already_is_not_cut_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.accept(lines(1, 2))
    journal = next(tmp_path.glob("*.journal"))
    kept = journal.read_bytes()
    made = spool.cut(minutes(1), OPTIONS)
    assert made is not None
    spool.remove(made)
    spool.close()
    journal.write_bytes(kept)
    again = opened(tmp_path)
    assert again.cut(minutes(2), OPTIONS) is None
    assert again.waiting() == []


def test_full_spool_accepts_no_more_and_loses_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path, most_bytes=1000)
    accepted = 0
    while (accepted + 1) * (len(line(0)) + 1) <= 1000:
        spool.accept(lines(accepted))
        accepted += 1
    with pytest.raises(SpoolFullError):
        spool.accept(lines(accepted, accepted + 1))
    spool.accept(lines(0))  # what was accepted is known, and needs no room
    made = spool.cut(minutes(1), OPTIONS)
    assert made is not None
    assert seqs_in(made.path) == list(range(accepted))


async def test_killed_at_any_moment_each_message_is_in_exactly_one_file(tmp_path: Path) -> None:
    dice = random.Random(4)
    spooled = tmp_path / "spool"
    logs = [tmp_path / f"{attempt}.log" for attempt in range(12)]
    for log in logs:
        child = Child.spawn([sys.executable, CHILD, spooled], log=log)
        enough = dice.randrange(5, 60)
        await until(lambda: len(child.lines) > enough, deadline_s=20, what="accepted messages")  # noqa: B023
        await child.kill()
    spool = opened(spooled)
    spool.cut(START + timedelta(days=1), OPTIONS)
    stored = [seq for file in seqs_of(spool) for seq in file]
    promised = [int(row) for log in logs for row in log.read_text().split("\n")[:-1]]
    assert len(stored) == len(set(stored))
    assert set(promised) <= set(stored)
