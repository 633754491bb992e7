"""Several transactions in flight on one Modbus TCP connection, with units that are slow, silent or answer late."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Point, Profile
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.clock import SystemClock
from tests.support.lines import Noted
from tests.support.wait import LEAST_S, stays, until

BLOCKS = 3
HOST = "127.0.0.1"
PROFILE = Profile(
    id="test/tcp",
    type="meter",
    brand="Test",
    device_class="Meter",
    series="TCP",
    model="TCP",
    protocols=("modbus-tcp",),
    source="made for this test",
    points=tuple(
        Point(metric=metric, function=3, address=1000 * block, type="u16")
        for block, metric in enumerate(("v1", "v2", "v3"))
    ),
)


class Gateway(asyncio.Protocol):
    """Answers a read of n registers at address a of unit u with n times u * 100 + a / 1000, after the unit's delay.

    Requests of one unit are answered in turn; those of others meanwhile, so replies leave out of order.
    """

    def __init__(self, delays_s: dict[int, float | None]) -> None:
        self.delays_s = delays_s
        """None: never."""
        self.connections = 0
        self.in_work = self.most_in_work = 0
        self.order: list[int] = []
        self.answered: list[int] = []
        self._link: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._link = transport
        self.connections += 1

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 12:
            frame, self._rest = self._rest[:12], self._rest[12:]
            self.order.append(frame[6])
            delay_s = self.delays_s[frame[6]]
            if delay_s is not None:
                self.in_work += 1
                self.most_in_work = max(self.in_work, self.most_in_work)
                asyncio.get_running_loop().call_later(delay_s, self._answer, frame)

    def _answer(self, frame: bytes) -> None:
        number, unit, function, address, count = struct.unpack(">H4xBBHH", frame)
        self.in_work -= 1
        self.answered.append(unit)
        words = struct.pack(f">{count}H", *[unit * 100 + address // 1000] * count)
        reply = struct.pack(">HHHBBB", number, 0, 3 + len(words), unit, function, len(words)) + words
        self._send(reply)

    def _send(self, reply: bytes) -> None:
        assert self._link is not None
        self._link.write(reply[:5])  # in pieces: frames need not come whole
        self._link.write(reply[5:])


class Cutting(Gateway):
    """The fifth reply to the last read of unit 1 lacks its last two bytes, and comes with another unit's next one."""

    _held = b""
    _last_reads = 0

    def _answer(self, frame: bytes) -> None:
        is_last = frame[6] == 1 and frame[8:10] == struct.pack(">H", 1000 * (BLOCKS - 1))
        self._last_reads += is_last
        self._is_cut = is_last and self._last_reads == 5
        super()._answer(frame)

    def _send(self, reply: bytes) -> None:
        assert self._link is not None
        if self._is_cut:
            self._held = reply[:-2]
        else:
            self._link.write(self._held + reply)
            self._held = b""


@asynccontextmanager
async def polling(gateway: Gateway, *, most: int, **others: int) -> AsyncIterator[tuple[Poller, Noted]]:
    """A poller of all the gateway's units, each flat out; `others`: other limits, as `u3=1`."""
    server = await asyncio.get_running_loop().create_server(lambda: gateway, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    noted = Noted()
    poller = Poller("x", TcpHost(HOST, port), noted, SystemClock(), is_modbus_tcp=True)
    for unit in gateway.delays_s:
        config = DeviceConfig(
            id=f"u{unit}",
            host=HOST,
            tcp_port=port,
            model=PROFILE.id,
            unit=unit,
            poll_s=0.1,
            max_in_flight=others.get(f"u{unit}", most),
        )
        poller.add(Device(config, PROFILE, poller.cost))
    task = asyncio.create_task(poller.run())
    try:
        yield poller, noted
    finally:
        poller.stop()
        await asyncio.wait_for(task, LEAST_S)
        server.close()


def assert_own(noted: Noted) -> None:
    """Nobody was given another's registers: the values tell unit and address."""
    for device, readings in noted.readings.items():
        own = int(device[1:]) * 100
        for _, values in readings:
            assert values == {"v1": own, "v2": own + 1, "v3": own + 2}


async def test_replies_out_of_order_each_reach_their_own_request() -> None:
    gateway = Gateway({1: 0.04, 2: 0.001, 3: 0.02, 4: 0.003})
    async with polling(gateway, most=4) as (_, noted):
        await until(
            lambda: all(noted.count(f"u{n}") > 5 for n in (1, 2, 3, 4)), deadline_s=10, what="readings"
        )
    assert_own(noted)
    assert gateway.order != gateway.answered
    assert gateway.most_in_work > 2
    assert gateway.connections == 1


async def test_a_reply_without_its_end_is_not_taken_with_the_beginning_of_the_next() -> None:
    gateway = Cutting({1: 0.002, 2: 0.002, 3: 0.002, 4: 0.002})
    async with polling(gateway, most=4) as (_, noted):
        await until(
            lambda: all(noted.count(f"u{n}") > 5 for n in (1, 2, 3, 4)), deadline_s=20, what="readings"
        )
    assert_own(noted)
    assert gateway.connections > 1


async def test_the_smallest_limit_of_a_host_counts_and_one_is_the_default() -> None:
    assert DeviceConfig(id="a", host=HOST, model="a/b", unit=1).max_in_flight == 1
    gateway = Gateway({1: 0.005, 2: 0.005, 3: 0.005})
    async with polling(gateway, most=3, u3=1) as (_, noted):
        await until(lambda: noted.count("u3") > 3, deadline_s=10, what="readings")
    assert gateway.most_in_work == 1
    gateway = Gateway({1: 0.005, 2: 0.005, 3: 0.005})
    async with polling(gateway, most=3, u3=2) as (poller, noted):
        await until(lambda: noted.count("u3") > 3, deadline_s=10, what="readings")
        assert gateway.most_in_work == 2
        poller.remove("u3")  # hot: now the others' limit counts, for as many as there are
        poller.remove("u2")
        rounds = 2 * BLOCKS
        await until(
            lambda: gateway.order[-rounds:] == [1] * rounds,
            deadline_s=10,
            what="the end of what was under way for the others",
        )
        before = noted.count("u1")
        gateway.most_in_work = 0
        await until(lambda: noted.count("u1") > before + 3, deadline_s=10, what="readings of the one left")
        assert gateway.most_in_work == 1
    assert_own(noted)


async def test_a_late_reply_is_foreign_and_nobody_elses_answer() -> None:
    gateway = Gateway({1: 0.002, 2: 0.002})
    async with polling(gateway, most=2) as (poller, noted):
        await until(lambda: noted.count("u1") > 3 and noted.count("u2") > 3, deadline_s=10, what="readings")
        gateway.delays_s[2] = 0.4
        await until(lambda: poller.line.counters[2].foreign > 1, deadline_s=10, what="late replies")
    assert_own(noted)
    assert poller.line.counters[2].timeouts >= 2
    # a machine that stands still may make its own replies late, never another's
    assert poller.line.counters[1].foreign <= poller.line.counters[1].timeouts


async def test_a_silent_unit_does_not_hold_up_the_others() -> None:
    gateway = Gateway({1: 0.002, 2: 0.002, 9: 0.002})
    async with polling(gateway, most=2) as (_, noted):
        await until(lambda: all(noted.count(f"u{n}") > 2 for n in (1, 2, 9)), deadline_s=10, what="readings")
        gateway.delays_s[9] = None
        gateway.order.clear()
        await until(lambda: not noted.is_online("u9"), deadline_s=10, what="its outage")
    first, second = [at for at, unit in enumerate(gateway.order) if unit == 9][-2:]
    assert second - first > 2 * BLOCKS  # while one request of it is waited for, both others are read
    assert_own(noted)


async def test_who_wants_the_line_alone_gets_it_when_nothing_is_in_flight() -> None:
    gateway = Gateway({1: 0.03, 2: 0.05, 3: 0.002})
    async with polling(gateway, most=3) as (poller, noted):
        await until(lambda: gateway.most_in_work == 3, deadline_s=10, what="three in flight")
        async with poller.exclusive("a test") as line:
            assert gateway.in_work == 0
            await stays(lambda: gateway.in_work == 0, for_s=0.2, what="silence")
            answer = await line.exchange(Request(2, 3, 1000, 1), timeout_s=LEAST_S)
            assert isinstance(answer, Answer)
            assert answer.words == (201,)
        before = noted.count("u3")
        gateway.most_in_work = 0
        await until(lambda: noted.count("u3") > before + 3, deadline_s=10, what="polling to go on")
        assert gateway.most_in_work == 3
    assert_own(noted)


class Asking:
    """A work that notes what it read, and that another of its kind was not under way."""

    under_way = 0

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.result: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, line: Line) -> None:
        Asking.under_way += 1
        answer = await line.exchange(Request(self.unit, 3, 2000, 1), timeout_s=LEAST_S)
        assert isinstance(answer, Answer)
        self.result.set_result(answer.words[0] if Asking.under_way == 1 else -1)
        Asking.under_way -= 1

    def fail(self, err: Exception) -> None:
        self.result.set_exception(err)


async def test_commands_come_first_one_at_a_time_and_past_a_unit_that_hangs() -> None:
    gateway = Gateway({1: 0.005, 2: 0.005, 9: 0.005})
    async with polling(gateway, most=3) as (poller, noted):
        await until(lambda: all(noted.count(f"u{n}") > 1 for n in (1, 2, 9)), deadline_s=10, what="readings")
        works = [Asking(unit) for unit in (1, 2, 1, 2)]
        for work in works:
            poller.submit(work, urgency="command")
        assert await asyncio.wait_for(asyncio.gather(*(work.result for work in works)), LEAST_S) == [
            102,
            202,
            102,
            202,
        ]
    assert_own(noted)


async def test_a_far_end_that_is_no_modbus_closes_the_line_for_all_lanes() -> None:
    gateway = Gateway({1: 0.005, 2: 0.005})
    async with polling(gateway, most=2) as (poller, noted):
        await until(lambda: noted.count("u1") > 2 and noted.count("u2") > 2, deadline_s=10, what="readings")
        assert gateway._link is not None
        gateway._link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        gateway._rest = b""
        await until(lambda: "line-closed" in noted.kinds(), deadline_s=10, what="its end")
        assert "does not speak Modbus TCP" in dict(noted.events)["line-closed"]
        await until(
            lambda: gateway.connections == 2 and poller.line.transport.is_open, deadline_s=10, what="another"
        )
        before = noted.count("u2")
        await until(lambda: noted.count("u2") > before, deadline_s=10, what="readings again")
    assert_own(noted)
