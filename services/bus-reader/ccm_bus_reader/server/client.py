"""One master's connection: its requests in order, within its limits. Knows no registers.

Who asks too much is told "busy"; who goes on all the same, or does not read the replies, is not heard for a while: the
other masters and the line do not notice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

from ccm_bus_reader.server.frames import (
    BUSY,
    DEVICE_FAILURE,
    Asked,
    NotModbusError,
    answered,
    next_request,
    refused,
)
from ccm_kit.clock import Clock

log = logging.getLogger(__name__)

MOST_WAITING: Final = 16
"""Requests of one client that wait for an answer (Messaging on TCP/IP V1.0b, 4.3.2: 1 to 16); more are busy."""
IDLE_S: Final = 300.0
"""A connection without a request for so long is closed."""
HEARD: Final = 2
"""So many times its requests per second are heard of a client, most of them to be answered "busy"; others wait."""
DEAF_S: Final = 0.1
"""A client that asked more is heard again after so long."""
UNREAD_BYTES: Final = 16 * 1024
"""A client that leaves more replies unread is not heard until it reads them."""

Answer = tuple[int, ...] | int
"""The words of a read, nothing for a write that was done; or the code of an exception."""


class Target(Protocol):
    """What answers a client's requests."""

    def at_once(self, asked: Asked) -> Answer | None:
        """The answer where nothing has to be waited for; None where it has."""

    async def later(self, asked: Asked, client: str, /) -> Answer:
        """The answer; `client` is who asks, for the audit."""


class Budget:
    """Requests of one client: `per_second`, and as many at once."""

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = float(per_second)
        self._at = clock.monotonic()

    def takes(self) -> bool:
        """Whether one more fits in."""
        now = self._clock.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Client(asyncio.Protocol):
    """Answers from `target`; what cannot be answered at once waits in order."""

    def __init__(
        self, target: Target, requests_per_s: int, clock: Clock, on_end: Callable[["Client"], None]
    ) -> None:
        self.address = ""
        self.requests = self.refusals = 0
        self._target = target
        self._budget = Budget(requests_per_s, clock)
        self._hearing = Budget(HEARD * requests_per_s, clock)
        self._clock = clock
        self._on_end = on_end
        self._received = bytearray()
        self._deaf: asyncio.TimerHandle | None = None
        self._is_unread = False
        self._waiting: deque[Asked] = deque()
        self._working: asyncio.Task[None] | None = None
        self._link: asyncio.Transport | None = None
        self._last_at = clock.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = cast(asyncio.Transport, transport)
        self._link.set_write_buffer_limits(high=UNREAD_BYTES)
        self.address = str(transport.get_extra_info("peername", ("?",))[0])

    def connection_lost(self, _: Exception | None) -> None:
        self._waiting.clear()
        self._link = None
        if self._deaf is not None:
            self._deaf.cancel()
        if self._working is not None:
            self._working.cancel()
        self._on_end(self)

    def close(self) -> None:
        """Hang up; replies that nobody reads are not waited for."""
        if self._link is not None and self._is_unread:
            self._link.abort()
        elif self._link is not None:
            self._link.close()

    @property
    def unused_s(self) -> float:
        """Since its last request, or since it came."""
        return self._clock.monotonic() - self._last_at

    @property
    def is_idle(self) -> bool:
        return self.unused_s > IDLE_S

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._hear()

    def pause_writing(self) -> None:
        self._is_unread = True

    def resume_writing(self) -> None:
        self._is_unread = False
        self._hear()

    def _hear(self) -> None:
        """What was received, as long as the client may ask."""
        try:
            while self._link is not None and (found := next_request(self._received)) is not None:
                if self._is_unread or self._deaf is not None or not self._hearing.takes():
                    self._hear_later(self._link)
                    return
                asked, used = found
                del self._received[:used]
                self._take(asked)
            if self._link is not None:
                self._link.resume_reading()
        except NotModbusError as err:
            log.info("client is no Modbus master", extra={"client": self.address, "error": str(err)})
            self.close()

    def _hear_later(self, link: asyncio.Transport) -> None:
        link.pause_reading()
        if self._deaf is None and not self._is_unread:
            self._deaf = asyncio.get_running_loop().call_later(DEAF_S, self._hear_again)

    def _hear_again(self) -> None:
        self._deaf = None
        self._hear()

    def _take(self, asked: Asked) -> None:
        self.requests += 1
        self._last_at = self._clock.monotonic()
        if asked.refusal is not None:
            self._reply(asked, asked.refusal)
        elif not self._budget.takes() or len(self._waiting) >= MOST_WAITING:
            self._reply(asked, BUSY)
        elif self._working is not None or (answer := self._target.at_once(asked)) is None:
            self._waiting.append(asked)
            if self._working is None:
                self._working = asyncio.create_task(self._work(), name="bus-reader.server.client")
        else:
            self._reply(asked, answer)

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked = self._waiting.popleft()
                answer = self._target.at_once(asked)
                self._reply(
                    asked, await self._target.later(asked, self.address) if answer is None else answer
                )
        except Exception:  # border of a child task: one client's request must not end the others'
            log.exception("request failed", extra={"client": self.address})
            self._reply(asked, DEVICE_FAILURE)
            self.close()
        finally:
            self._working = None

    def _reply(self, asked: Asked, answer: Answer) -> None:
        if isinstance(answer, int):
            self.refusals += 1
        if self._link is not None:
            self._link.write(refused(asked, answer) if isinstance(answer, int) else answered(asked, answer))
