"""Work of others on a line: its order among commands and polls, and a line that one holder has alone."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import SerialPort
from ccm_bus_reader.work import MOST_WAITING
from ccm_contracts.config.field import Rs485
from ccm_contracts.state import DeviceState
from ccm_kit.errors import CcmError, RefusedError, UnavailableError
from ccm_sim import Site
from tests.support.lines import Noted, ccm4, running, sdm, spec_of
from tests.support.wait import LEAST_S, until

TIMEOUT_S = 0.5


class Asking:
    """One read of another master."""

    def __init__(self, unit: int) -> None:
        self.request = Request(unit, 3, 0, 1)
        self.result: Answer | Failure | CcmError | None = None

    async def run(self, line: Line) -> None:
        self.result = await line.exchange(self.request, timeout_s=TIMEOUT_S)

    def fail(self, err: CcmError) -> None:
        self.result = err


class Broken(Asking):
    async def run(self, line: Line) -> None:
        raise ZeroDivisionError


def sent_units(poller: Poller) -> list[int]:
    """Fills with the unit of every request from now on."""
    units: list[int] = []
    poller.line.tap = lambda direction, _at, data, _kind: units.append(data[0]) if direction == "tx" else None
    return units


async def test_shared_work_and_polls_take_turns_and_commands_go_first(tmp_path: Path) -> None:
    spec = spec_of(other={"kind": "ccm4", "unit": 3}, u={"kind": "ccm4", "unit": 10, "count": 8})
    configs = [ccm4(f"u-{number + 1}", 10 + number) for number in range(8)]
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted),
    ):
        await until(lambda: noted.count("u-8") >= 2, deadline_s=8, what="a full load")
        units = sent_units(poller)
        works = [Asking(3) for _ in range(10)]
        for work in works:
            poller.submit(work, urgency="shared")
        device = poller.devices["u-1"]
        command = asyncio.create_task(poller.command(Job(device, device.profile.commands[0].name, 1)))
        await until(lambda: all(work.result for work in works), deadline_s=10, what="all work")
        await command
        assert all(isinstance(work.result, Answer) for work in works)
        # A command is a write and its read-back; then one work, one poll: 8 devices each 0.1 s are always due.
        # A poll that waits for its silence is on its way already: after u-8's, that of u-1.
        units = units[1:] if units[:3] == [10, 10, 10] else units
        assert units[:2] == [10, 10]
        assert [unit == 3 for unit in units[2:20]] == [True, False] * 9


async def test_work_beyond_the_bound_and_work_that_crashes_is_refused(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted),
    ):
        await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        broken = Broken(2)
        poller.submit(broken, urgency="shared")
        for _ in range(MOST_WAITING["shared"] - 1):
            poller.submit(Asking(2), urgency="shared")
        with pytest.raises(RefusedError) as refusal:
            poller.submit(Asking(2), urgency="shared")
        assert refusal.value.code == "busy"
        await until(lambda: broken.result, deadline_s=5, what="its failure")
        assert isinstance(broken.result, UnavailableError)
        before = noted.count("a")
        await until(lambda: noted.count("a") > before, deadline_s=5, what="a reading")


async def test_holder_has_the_line_alone_at_its_own_rate_and_polling_goes_on_after_it(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted),
    ):
        await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        device = poller.devices["a"]
        waiting = Asking(2)
        poller.submit(waiting, urgency="shared")
        async with poller.exclusive("a scan") as line:
            units = sent_units(poller)
            await line.reconfigure(4800, "8N1")
            assert line.silence_s == pytest.approx(3.5 * 10 / 4800)
            for unit in (2, 77, 2):
                await line.exchange(Request(unit, 3, 0, 1), timeout_s=TIMEOUT_S, quarantine=False)
            assert units == [2, 77, 2]
            with pytest.raises(RefusedError, match="is in use by a scan") as refusal:
                await poller.command(Job(device, device.profile.commands[0].name, 1))
            assert refusal.value.code == "busy"
            with pytest.raises(RefusedError, match="is in use by a scan"):
                async with poller.exclusive("a synchronisation"):
                    pass
        assert waiting.result is not None
        assert poller.line.transport.endpoint == poller.endpoint
        before = noted.count("a")
        await until(lambda: noted.count("a") > before, deadline_s=5, what="a reading")
        assert "line-closed" not in noted.kinds()
        assert site.stats()["lines"]["x"]["silence_violations"] == 0


async def test_line_goes_on_when_its_holder_crashes_or_is_cancelled_in_a_transaction(tmp_path: Path) -> None:
    async def crash(poller: Poller) -> None:
        async with poller.exclusive("a crash"):
            raise ZeroDivisionError

    async def ask_forever(poller: Poller, is_asking: asyncio.Event) -> None:
        async with poller.exclusive("a scan") as line:
            is_asking.set()
            await line.exchange(Request(77, 3, 0, 1), timeout_s=60)

    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted),
    ):
        await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        with pytest.raises(ZeroDivisionError):
            await crash(poller)
        is_asking = asyncio.Event()
        task = asyncio.create_task(ask_forever(poller, is_asking))
        await is_asking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = noted.count("a")
        await until(lambda: noted.count("a") > before, deadline_s=5, what="a reading")


async def test_holder_is_stopped_when_the_line_ends_and_refused_when_it_is_closed(tmp_path: Path) -> None:
    async with Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site:
        async with running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted):
            await until(lambda: noted.count("a"), deadline_s=8, what="a reading")

            async def hold() -> None:
                async with poller.exclusive("a scan"):
                    poller.stop()
                    await asyncio.Event().wait()

            with pytest.raises(UnavailableError, match="is being closed"):
                await asyncio.wait_for(hold(), LEAST_S)
        with pytest.raises(UnavailableError) as refusal:
            async with poller.exclusive("a scan"):
                pass
        assert refusal.value.code == "offline"


async def test_command_waits_at_most_for_the_frame_on_the_wire(tmp_path: Path) -> None:
    spec = spec_of(u={"kind": "ccm4", "unit": 10, "count": 8})
    configs = [ccm4(f"u-{number + 1}", 10 + number) for number in range(8)]
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted),
    ):
        await until(lambda: noted.count("u-8") >= 2, deadline_s=8, what="a full load")
        device = poller.devices["u-3"]
        sent = sent_functions(poller)
        for number in range(20):
            del sent[:]
            await until(lambda: sent, deadline_s=10, what="a poll on the wire")
            del sent[:]
            await poller.command(Job(device, device.profile.commands[0].name, number % 3))
            assert sent[:2] == [6, 3]


def sent_functions(poller: Poller) -> list[int]:
    functions: list[int] = []
    poller.line.tap = lambda way, _at, data, _kind: functions.append(data[1]) if way == "tx" else None
    return functions


async def test_broadcast_reaches_all_units_without_a_reply_where_the_profile_allows_it(
    tmp_path: Path,
) -> None:
    spec = spec_of(a={"kind": "ccm4", "unit": 2}, b={"kind": "ccm4", "unit": 3})
    profile = load_catalog().find("energyccm/ccm4")
    mode = profile.commands[0].model_copy(update={"broadcast": True})
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("b", 3)) as (poller, noted),
    ):
        device = Device(ccm4("a", 2), profile.model_copy(update={"commands": (mode,)}), poller.cost)
        poller.add(device)
        await until(lambda: noted.count("a") and noted.count("b"), deadline_s=8, what="readings")
        with pytest.raises(RefusedError) as refusal:
            Job(poller.devices["b"], mode.name, 2, broadcast=True)
        assert refusal.value.code == "no-broadcast"
        assert await poller.command(Job(device, mode.name, 2, broadcast=True)) == 2
        assert [site.devices[each].mode for each in ("a", "b")] == [2, 2]
        line = site.stats()["lines"]["x"]
        assert (line["collisions"], line["silence_violations"]) == (0, 0)


async def test_chatty_device_does_not_starve_another_on_a_full_line(tmp_path: Path) -> None:
    """Two with many short intervals and one with a long one: on a line that cannot serve all, each gets its turn."""
    spec = spec_of(u={"kind": "sdm630", "unit": 10, "count": 3})
    configs = [sdm("u-1", 10, 0.1), sdm("u-2", 11, 0.1), sdm("u-3", 12, 2.0)]
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), *configs) as (_, noted),
    ):
        await until(lambda: noted.count("u-3") >= 5, deadline_s=20, what="the calm one's readings")
    rounds = [(ts, device) for device, readings in noted.readings.items() for ts, _ in readings]
    order = [device for _, device in sorted(rounds)]
    calm = [place for place, device in enumerate(order) if device == "u-3"]
    assert abs(order.count("u-1") - order.count("u-2")) <= 2
    between = [later - earlier - 1 for earlier, later in pairwise(calm)]
    # Due each 2 s, in which 6 rounds of 0.3 s fit, it waits at most for one more of each of the others.
    assert max(between) <= 6 + 2, order


class GivenUp(Noted):
    """How many requests there were for each time that a device was given up, and whether for its refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []
        self.rounds: list[tuple[int, bool]] = []

    def device(self, state: DeviceState) -> None:
        super().device(state)
        if state.retry_s is not None:
            self.rounds.append((len(self.sent), "is it another model?" in (state.error or "")))
            self.sent.clear()


async def test_device_that_refuses_everything_is_given_up_and_not_asked_in_a_loop(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), noted=GivenUp()) as (poller, noted),
    ):
        assert isinstance(noted, GivenUp)
        noted.sent = sent_functions(poller)
        profile = load_catalog().find("eastron/sdm630")
        nowhere = tuple(
            point.model_copy(update={"address": 20_000 + point.address})
            for point in profile.points_of("fast")
        )
        poller.add(Device(sdm("a", 2), profile.model_copy(update={"points": nowhere}), poller.cost))
        await until(
            lambda: [is_refusal for _, is_refusal in noted.rounds].count(True) >= 2,
            deadline_s=20,
            what="a second probe that is refused",
        )
        first = next(count for count, is_refusal in noted.rounds if is_refusal)
        assert max(count for count, _ in noted.rounds) <= first + 1
        assert (noted.states["a"].retry_s or 0) >= 2
        assert "device-online" not in noted.kinds()


async def test_port_without_the_rs485_mode_that_was_demanded_is_told_of_and_read(tmp_path: Path) -> None:
    async with Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site:
        endpoint = SerialPort(str(site.line_path("x")), rs485=Rs485(mode="on"))
        async with running(endpoint, ccm4("a", 2)) as (_, noted):
            await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        assert "RS-485 mode cannot be switched on" in dict(noted.events)["line-notice"]
