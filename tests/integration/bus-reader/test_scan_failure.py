"""A search that breaks in the middle: it ends with a reason, the line is given back, and polling goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ccm_bus_reader.catalogue import Catalog, load_catalog
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Profile
from ccm_bus_reader.scans import Scans
from ccm_bus_reader.transport import SerialPort, TcpHost
from ccm_contracts.channels import EVENT, SCAN_STATE
from ccm_contracts.messages import Event
from ccm_contracts.scan_state import ScanState
from ccm_contracts.verbs.bus_reader import ScanRequest
from ccm_kit.bus import Bus
from ccm_kit.clock import SystemClock
from ccm_kit.errors import RefusedError
from ccm_sim import Site
from tests.support.bus import bus_as
from tests.support.lines import ccm4, running, spec_of
from tests.support.modbus_slave import rtu_slave
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.pty_pair import pty_pair
from tests.support.wait import until

WHOLE = ScanRequest(line="x", depth="full", baudrates=[9600], formats=["8N1"])
SHORT = ScanRequest(line="x", first_unit=1, last_unit=3, baudrates=[9600], formats=["8N1"])


class Torn(Catalog):
    """Knows every model's name, and fails when one is to be read."""

    def __init__(self) -> None:
        whole = load_catalog()
        super().__init__({}, {profile.id: profile for profile in whole.models()}, [])

    def find(self, model_id: str) -> Profile:
        raise ZeroDivisionError(model_id)


@asynccontextmanager
async def searches(nats: NatsServer, poller: Poller, *catalogs: Catalog) -> AsyncIterator[tuple[Bus, Scans]]:
    """Each search takes the next catalogue."""
    each = iter(catalogs)
    async with bus_as(nats, "bus-reader") as bus:
        scans = Scans(bus, SystemClock(), lambda: {"x": poller}, lambda: next(each), lambda: False)
        scans.is_configured = True
        yield bus, scans
        await scans.stop()


async def ended(bus: Bus) -> tuple[ScanState, Event]:
    """The state of a search that is over, and the event that says so."""

    async def state() -> ScanState | None:
        last = await bus.last(SCAN_STATE, id="x")
        return last if last is not None and last.status != "running" else None

    async def event() -> Event | None:
        return await bus.last(EVENT, source="bus-reader", kind="scan-ended")

    found = await until(state, deadline_s=20, what="the search's end")
    told = await until(event, deadline_s=5, what="its event")
    assert found is not None
    assert told is not None
    return found, told


async def test_rates_of_a_network_connection_are_refused(nats: NatsServer) -> None:
    async with (
        running(TcpHost("127.0.0.1", free_port())) as (poller, _),
        searches(nats, poller, load_catalog()) as (_, scans),
    ):
        with pytest.raises(RefusedError, match="is a network connection") as refusal:
            await scans.start(ScanRequest(line="x", formats=["8E1"]), None)
        assert refusal.value.field == "formats"


async def test_internal_error_ends_the_search_and_the_next_one_finds_the_device(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted),
        searches(nats, poller, Torn(), load_catalog()) as (bus, scans),
    ):
        await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        await scans.start(SHORT, None)
        state, event = await ended(bus)
        assert (state.status, state.left_s, state.unit) == ("failed", None, None)
        assert (state.error or "").startswith("internal error: ZeroDivisionError(")
        assert (event.severity, event.data["status"]) == ("warning", "failed")
        assert not scans.is_running
        before = noted.count("a")
        await until(lambda: noted.count("a") > before + 1, deadline_s=5, what="readings after the search")
        assert noted.is_online("a")
        await scans.start(SHORT, None)
        await until(lambda: not scans.is_running, deadline_s=20, what="the second search's end")
        state, _ = await ended(bus)
        assert (state.status, [found.unit for found in state.found]) == ("done", [2])


async def test_line_that_is_lost_ends_the_search_and_is_read_again_once_it_is_back(
    nats: NatsServer, tmp_path: Path
) -> None:
    path = tmp_path / "by-id"
    registers = {(2, 3, 0): [0] * 100}
    async with (
        running(SerialPort(str(path)), ccm4("a", 2)) as (poller, noted),
        searches(nats, poller, load_catalog()) as (bus, scans),
    ):
        async with pty_pair() as pair, rtu_slave(pair.b, registers, tmp_path=tmp_path / "1"):
            path.symlink_to(pair.a)
            await until(lambda: noted.is_online("a"), deadline_s=8, what="the device")
            begun = await scans.start(WHOLE, None)
            assert begun.total == 247
            asked = poller.line.counters
            await until(lambda: 5 in asked, deadline_s=15, what="the search to have come to unit 5")
            path.unlink()
        state, event = await ended(bus)
        assert state.status == "failed"
        assert (state.error or "").startswith("the line was lost: ")
        assert state.percent < 100
        assert event.severity == "warning"
        assert not scans.is_running
        async with pty_pair() as pair, rtu_slave(pair.b, registers, tmp_path=tmp_path / "2"):
            path.symlink_to(pair.a)
            before = noted.count("a")
            await until(
                lambda: noted.count("a") > before, deadline_s=10, what="a reading of the line that is back"
            )
