"""Remembers the answers to commands, so that a repeat within 10 minutes acts once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ccm_kit.clock import Clock

KEEP_S = 600.0
MOST = 2000
"""Answers kept; beyond it the oldest is forgotten."""


class Answers:
    """Answers by command id. A repeat that arrives while the first still runs waits for the same answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, asyncio.Future[bytes]]] = OrderedDict()

    async def once(self, command_id: str, act: Callable[[], Awaitable[bytes]]) -> bytes:
        self._forget()
        if command_id in self._kept:
            return await asyncio.shield(self._kept[command_id][1])
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._kept[command_id] = (self._clock.monotonic(), future)
        try:
            answer = await act()
        except BaseException:
            del self._kept[command_id]
            future.cancel()
            raise
        future.set_result(answer)
        return answer

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - KEEP_S
        while self._kept:
            moment, _ = next(iter(self._kept.values()))
            if moment > oldest and len(self._kept) < MOST:
                return
            self._kept.popitem(last=False)
