"""Modbus TCP servers and serial servers of the day, with the devices behind them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from ccm_sim import modbus
from ccm_sim.faults import Verdict, spoiled, verdict
from ccm_sim.wire import Pace, Wire
from tests.support.day.cabinet import Counted
from tests.support.memory_host import Host, HostLink
from tests.support.memory_port import LoopTimers
from tests.support.virtual_time import VirtualLoop

DOUBLED: Final = 0.005
"""Replies that come twice, and as many that come in pieces."""
LONG_AGO: Final = range(2000, 60000)
"""Transactions between a wrong number and the right one: none that is under way has it."""
PIECE_S: Final = 0.003
ORDERED_S: Final = 1e-6
"""Two timers of the same moment may go off in any order."""
MBAP_UNIT: Final = 6


class TcpServer:
    """Answers Modbus TCP, where no byte is lost or added: what would be a wrong bit is a wrong transaction number.

    A device behind it carries its requests out in their order.
    """

    def __init__(
        self, devices: Sequence[Counted], loop: VirtualLoop, seed: int, heard: Callable[[bytes], None]
    ) -> None:
        """`heard` is told the unit and PDU of each request."""
        self.kinds: dict[str, Counter[str]] = {device.id: Counter() for device in devices}
        self._devices = devices
        self._loop = loop
        self._random = Random(seed)
        self._heard = heard
        self._received: dict[HostLink, bytes] = {}
        """Of each connection that there is: the beginning of the next request."""
        self._free_at: dict[str | HostLink, float] = {}

    def take(self, data: bytes, link: HostLink) -> None:
        received = self._received.get(link, b"") + data
        while frame := modbus.next_mbap(received):
            number, unit, pdu, used = frame
            self._heard(received[MBAP_UNIT:used])
            received = received[used:]
            for device in self._devices:
                if device.hears(unit) and not device.faults.dead:
                    at = self._next(device.id, device.turnaround_s)
                    self._loop.call_at(at, partial(self._respond, device, number, unit, pdu, link))
        self._received[link] = received

    def left(self, link: HostLink) -> None:
        self._received.pop(link, None)
        self._free_at.pop(link, None)

    def _next(self, who: str | HostLink, takes_s: float) -> float:
        """When it is done, which does one thing after the other."""
        at = self._free_at[who] = max(self._loop.time(), self._free_at.get(who, 0.0)) + takes_s
        return at

    def _respond(self, device: Counted, number: int, unit: int, pdu: bytes, link: HostLink) -> None:
        fate = replace(verdict(device.faults, self._random), is_cut=False, is_noisy=False)
        self.kinds[device.id].update(fate.kinds)
        done = pdu if fate.exception_code is not None else modbus.answer(pdu, device)
        if fate.is_lost:
            return
        frame = self._frame(number, unit, done, fate)
        self._loop.call_later(fate.delay_s, partial(self._send, frame, link))

    def _frame(self, number: int, unit: int, pdu: bytes, fate: Verdict) -> bytes:
        body = spoiled(unit, pdu, replace(fate, is_corrupt=False), self._random)[:-2]
        if fate.is_corrupt:
            number = (number - self._random.choice(LONG_AGO)) % 0x10000
        return number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body

    def _send(self, frame: bytes, link: HostLink) -> None:
        if link not in self._received:  # it was closed meanwhile
            return
        draw = self._random.random()
        pieces = [frame]
        if draw < DOUBLED:
            pieces = [frame + frame]
        elif draw < 2 * DOUBLED:
            at = self._random.randrange(len(frame))
            pieces = [frame[:at], *(bytes((each,)) for each in frame[at:])]
        apart_s = PIECE_S if len(pieces) > 1 else ORDERED_S
        for piece in pieces:
            self._loop.call_at(self._next(link, apart_s), partial(link.deliver, piece))


class SerialServer:
    """A serial line at the far end of a connection; several of them hear the same."""

    def __init__(
        self, devices: Sequence[Counted], loop: VirtualLoop, seed: int, heard: Callable[[bytes], None]
    ) -> None:
        self.host: Host
        self.wire = Wire(Pace(), devices, LoopTimers(loop), seed, self._put)
        self._heard = heard

    def take(self, data: bytes, link: HostLink) -> None:
        self._heard(data)
        self.wire.take(data)

    def left(self, link: HostLink) -> None:
        """The line stays."""

    def _put(self, data: bytes) -> None:
        for link in tuple(self.host.links):
            link.deliver(data)
