"""Breaks an MQTT connection at one packet: the first of a kind in one direction, passed on or lost."""

import asyncio
import os
import signal
from typing import Final

from tests.support.proxy import Direction, Proxy
from tests.support.wait import until

PUBLISH_1: Final = (0x32, 0x3A)
PUBLISH_2: Final = (0x34, 0x3C)
"""First byte of a PUBLISH of QoS 1 and of QoS 2 without the retain flag, first time or repeated."""
CONNACK: Final = (0x20,)
PUBREC: Final = (0x50,)
PUBREL: Final = (0x62,)
PUBCOMP: Final = (0x70,)


class Cut:
    """Set on a proxy, it waits for its packet; the proxy refuses connections from then on."""

    def __init__(
        self,
        line: Proxy,
        way: Direction,
        kinds: tuple[int, ...],
        *,
        passes: bool = False,
        ends_in_order: bool = False,
        client_pid: int | None = None,
    ) -> None:
        """`ends_in_order`: the client sees the end of the stream instead of a reset.

        `client_pid`: it sleeps meanwhile, and finds the packet and the end together: no time to answer between.
        """
        self._line = line
        self._kinds = kinds
        self._passes = passes
        self._ends_in_order = ends_in_order
        self._client_pid = client_pid
        self._rest = b""
        self._faults = line.up if way == "up" else line.down
        self._faults.change = self._change
        self.is_done = False

    async def done(self) -> None:
        await until(lambda: self.is_done, deadline_s=20, what="the packet to cut at")
        await until(lambda: not self._line.open_connections, deadline_s=5, what="the end of the connection")

    async def _change(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        start = 0
        while (end := _end_of_packet(data, start)) is not None:
            if data[start] in self._kinds:
                self._faults.change = None
                self.is_done = True
                self._line.refuse()
                if self._client_pid is not None:
                    os.kill(self._client_pid, signal.SIGSTOP)
                asyncio.get_running_loop().call_soon(self._end)
                return data[len(self._rest) : end if self._passes else start]
            start = end
        self._rest = data[start:]
        return data[len(data) - len(chunk) :]

    def _end(self) -> None:
        if self._ends_in_order:
            self._line.half_close("down")
        else:
            self._line.cut()
        if self._client_pid is not None:
            os.kill(self._client_pid, signal.SIGCONT)


def _end_of_packet(data: bytes, start: int) -> int | None:
    length, shift = 0, 0
    for at in range(start + 1, len(data)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            end = at + 1 + length
            return end if end <= len(data) else None
    return None
