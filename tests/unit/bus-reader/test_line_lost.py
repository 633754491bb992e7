"""A serial server whose connection breaks while a device answers: the line behind it goes on, and so does the reply."""

import asyncio
from functools import partial

from ccm_bus_reader.drivers.modbus import Request, Rtu
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.transport import TcpHost, Transport
from ccm_sim import modbus
from tests.support.memory_host import Host, HostLink
from tests.support.virtual_time import VirtualClock, VirtualLoop, run_virtually

ASKED, SAME_LENGTH, OTHER_LENGTH = Request(7, 3, 100, 2), Request(7, 3, 200, 2), Request(7, 3, 300, 3)
SLOW_S = 0.9
TIMEOUT_S = 1.0


class SlowLine:
    """Unit 7 answers each register with its address, to all that are connected by then."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.host = Host(self, lambda: None)
        self.asked_at: list[float] = []
        self._loop = loop

    def take(self, data: bytes, _: HostLink) -> None:
        self.asked_at.append(self._loop.time())
        address, count = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
        words = b"".join((address + each).to_bytes(2, "big") for each in range(count))
        self._loop.call_later(SLOW_S, partial(self._put, modbus.rtu(7, bytes((3, len(words))) + words)))

    def left(self, _: HostLink) -> None:
        """The device answers all the same."""

    def _put(self, frame: bytes) -> None:
        for link in self.host.links:
            link.deliver(frame)


async def _cut_and_back(loop: VirtualLoop) -> tuple[Line, SlowLine]:
    """Asked, cut off 0.1 s later, and connected again at once."""
    far = SlowLine(loop)
    loop.hosts["h", 4001] = far.host
    transport = Transport(TcpHost("h", 4001, char_s=0.001), VirtualClock(loop))
    line = Line(transport, Rtu(), VirtualClock(loop), is_numbered=False)
    await transport.open()
    line.opened()
    asking = asyncio.create_task(line.exchange(ASKED, timeout_s=TIMEOUT_S))
    await asyncio.sleep(0.2)
    far.host.cut(is_reset=True)
    lost = await asking
    assert not isinstance(lost, Answer)
    assert lost.kind == "lost"
    await transport.open()
    line.opened()
    return line, far


def test_what_the_late_reply_could_be_taken_for_is_not_asked() -> None:
    async def main(loop: VirtualLoop) -> None:
        line, _ = await _cut_and_back(loop)
        assert line.blocked_until(SAME_LENGTH) is not None
        assert line.blocked_until(OTHER_LENGTH) is None

    run_virtually(main)


def test_nobody_is_asked_while_the_reply_may_be_on_the_line() -> None:
    async def main(loop: VirtualLoop) -> None:
        line, far = await _cut_and_back(loop)
        answer = await line.exchange(OTHER_LENGTH, timeout_s=TIMEOUT_S)
        assert isinstance(answer, Answer)
        assert answer.words == (300, 301, 302)
        assert far.asked_at[1] - far.asked_at[0] > TIMEOUT_S
        assert line.blocked_until(SAME_LENGTH) is None  # it has come meanwhile, and was nobody's

    run_virtually(main)
