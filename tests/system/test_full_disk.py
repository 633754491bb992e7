"""The disk is full to the last byte, for a while: it is told, and no reading is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.support.disk import fill, small_disk
from tests.support.gateway import Gateway, gateway
from tests.support.wait import until_sync

pytestmark = pytest.mark.system
DEVICES = ("grid", "cellar", "roof", "house", "farm")
MIB = 1024 * 1024
TAKES_BACK_S = 0.2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 96 * MIB):
        yield tmp_path / "disk"


class Hog:
    """Another program that takes every byte that becomes free, until it ends."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        (self._place / "hog").unlink()

    def _run(self) -> None:
        while not self._ended.wait(TAKES_BACK_S):
            fill(self._place / "hog")


def _ledger(running: Gateway) -> dict[str, dict[str, Any]]:
    return {each["device"]: each for each in running.told("/delivery")["devices"]}


def _has(running: Gateway, device: str, least: int) -> Callable[[], bool]:
    return lambda: _ledger(running).get(device, {}).get("readings", 0) >= least


def test_full_disk_is_told_and_no_reading_is_lost(disk: Path, tmp_path: Path) -> None:
    with gateway(["demo"], disk / "data", tmp_path / "demo.log") as running:
        until_sync(_has(running, "grid", 5), deadline_s=40, what="the first readings in history")
        with Hog(disk):
            until_sync(
                lambda: "disk" in running.client.get("/health/ready").json().get("detail", ""),
                deadline_s=60,
                what="the gateway to say that its disk is full",
            )
        until_sync(
            lambda: running.client.get("/health/ready").status_code == 200, deadline_s=30, what="to be ready"
        )
        newest = {name: each["last_seq"] for name, each in _ledger(running).items()}
        for device in DEVICES:
            until_sync(_has(running, device, newest[device] + 5), deadline_s=40, what=f"readings of {device}")
        ledger = _ledger(running)
        for device in DEVICES:
            entry = ledger[device]
            assert (entry["first_seq"], entry["readings"]) == (1, entry["last_seq"]), device
        until_sync(
            lambda: "disk-full" in {each["kind"] for each in running.told("/events", limit=200)["events"]},
            deadline_s=20,
            what="the event of the full disk",
        )
        assert "nats cannot write" in running.child.output
