"""Whose turn it is, on a real NATS server, each uplink with a clock of its own (docs/adr/0007: 3 s, 10 s)."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ccm_contracts.channels import LEASE_STATE
from ccm_kit.bus import open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from ccm_uplink.lease import Lease, Owner
from tests.integration.uplink.site import GATEWAY
from tests.support.nats import NatsServer


class HandClock(SystemClock):
    passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s


class Candidate:
    """One uplink, as far as the lease is concerned."""

    def __init__(self, link: NatsLink, lease: Lease, owner: Owner, clock: HandClock) -> None:
        self.link, self.lease, self.owner, self.clock = link, lease, owner, clock

    def is_sure_after(self, seconds: float) -> bool:
        """Without another look."""
        self.clock.passed_s += seconds
        return self.lease.is_fresh

    async def delivers_after(self, seconds: float) -> bool:
        """Whether it does, once it has looked after so long."""
        self.clock.passed_s += seconds
        await self.lease.look()
        return self.lease.is_fresh


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Data directories."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


@asynccontextmanager
async def candidate(nats: NatsServer, directory: Path) -> AsyncIterator[Candidate]:
    clock, owner = HandClock(), Owner(directory)
    link = NatsLink(nats.url, user="", password="", name="uplink")
    async with link, open_bus(link, service="uplink", gateway=GATEWAY, clock=clock, version="0") as bus:
        yield Candidate(link, Lease(bus, owner), owner, clock)
    owner.close()


async def test_who_waits_takes_it_when_it_was_not_renewed_for_ten_seconds_of_his_own(
    nats: NatsServer, homes: Path
) -> None:
    async with candidate(nats, homes / "one") as one, candidate(nats, homes / "two") as two:
        assert await one.delivers_after(0)
        assert not await two.delivers_after(0)
        assert await one.delivers_after(3)
        assert not await two.delivers_after(9)  # it sees the renewal now
        assert not await two.delivers_after(9.9)
        assert await two.delivers_after(0.2)
        assert not await one.delivers_after(1)
        assert await two.delivers_after(3)


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.5, 0.9])
async def test_outage_of_a_killed_one_is_shorter_than_thirteen_seconds(
    nats: NatsServer, homes: Path, late_s: float
) -> None:
    """Killed right after it renewed the lease, `late_s` after the other one had looked. Here time is of one clock."""
    async with candidate(nats, homes / "one") as one, candidate(nats, homes / "two") as two:
        assert await one.delivers_after(0)
        assert not await two.delivers_after(0)
        assert await one.delivers_after(3)
        passed_s = -late_s
        has_taken = False
        while not has_taken:
            passed_s += two.lease.pause_s
            has_taken = await two.delivers_after(two.lease.pause_s)
        assert 10 <= passed_s < 13


async def test_holder_that_could_not_renew_it_is_not_sure_of_it_after_ten_seconds(
    nats: NatsServer, homes: Path
) -> None:
    async with candidate(nats, homes / "one") as one:
        assert await one.delivers_after(0)
        assert one.is_sure_after(9.9)
        assert not one.is_sure_after(0.2)
        assert await one.delivers_after(0)


async def test_given_back_it_is_free_at_once(nats: NatsServer, homes: Path) -> None:
    async with candidate(nats, homes / "one") as one, candidate(nats, homes / "two") as two:
        assert await one.delivers_after(0)
        assert not await two.delivers_after(0)
        await one.lease.give_back()
        assert await two.delivers_after(0)


async def test_killed_one_goes_on_at_once_on_its_directory(nats: NatsServer, homes: Path) -> None:
    async with candidate(nats, homes / "one") as one:
        assert await one.delivers_after(0)
    async with candidate(nats, homes / "one") as again:
        assert await again.delivers_after(0)


async def test_of_two_on_copies_of_one_directory_one_takes_another_name(
    nats: NatsServer, homes: Path
) -> None:
    async with candidate(nats, homes / "one") as one:
        assert await one.delivers_after(0)
        shutil.copytree(homes / "one", homes / "copy")
        async with candidate(nats, homes / "copy") as copy:
            name = copy.owner.name
            assert name == one.owner.name
            assert await copy.delivers_after(0)
            assert not await one.delivers_after(3)
            assert one.owner.name != name
            assert await copy.delivers_after(3)
            assert not await one.delivers_after(3)
    assert Owner(homes / "one").name == one.owner.name


async def test_state_that_is_gone_is_taken_by_who_had_it(nats: NatsServer, homes: Path) -> None:
    async with candidate(nats, homes / "one") as one, candidate(nats, homes / "two") as two:
        assert await one.delivers_after(0)
        assert not await two.delivers_after(0)
        subject = LEASE_STATE.subject(gw=GATEWAY, id="uplink")
        await one.link.js.purge_stream(LEASE_STATE.stream, subject=subject)
        assert not await two.delivers_after(3)
        assert await one.delivers_after(3)
        assert not await two.delivers_after(3)
