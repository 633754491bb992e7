"""What a service has to say, in order and without loss while NATS is away; bounded.

Messages wait at most as `MOST` in number and `KEEP_S` in age; beyond either the oldest is dropped, counted and, when
NATS is back, told. What the bus can never take is told at once, and the next one goes.
States are kept as the latest per subject, so they need no bound but the number of things that have a state.

At most `TOGETHER` are on their way at once, and never two on one subject: what is sent again cannot overtake.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from ccm_kit.backoff import Backoff
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.clock import Clock
from ccm_kit.errors import BusDownError, CcmError
from ccm_kit.nats_link import NatsLink

log = logging.getLogger(__name__)

KEEP_S = 600.0
MOST = 20_000
TOGETHER = 64
"""Messages that wait for their acknowledgement at once; more make the server no faster."""


@dataclass(frozen=True, slots=True)
class _Letter:
    subject: str
    data: bytes
    msg_id: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Who hears of messages that will never arrive."""

    refused: Callable[[str, bytes, str], None]
    """Subject, data and why."""
    dropped: Callable[[int], None]
    """How many since it was told last."""


class Outbox:
    """`run` publishes what is put in, each message until the stream has acknowledged it."""

    def __init__(self, link: NatsLink, clock: Clock, tell: Tell) -> None:
        self._link = link
        self._clock = clock
        self._tell = tell
        self._letters: deque[_Letter] = deque()
        self._states: dict[str, bytes] = {}
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._failing_since: float | None = None
        self.dropped = 0
        """Messages given up since the start because a bound was reached."""
        self._told = 0
        """Of `dropped`."""

    @property
    def failing_s(self) -> float:
        """For how long nothing could be published, s; 0 while all is well."""
        return 0.0 if self._failing_since is None else self._clock.monotonic() - self._failing_since

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, subject: str, data: bytes, msg_id: str | None = None) -> None:
        """`msg_id` makes the stream store a message once, however often it is sent."""
        if len(self._letters) >= MOST:
            self._letters.popleft()
            self._drop(1)
        self._letters.append(_Letter(subject, data, msg_id, self._clock.monotonic()))
        self._stir()

    def put_state(self, subject: str, data: bytes) -> None:
        self._states.pop(subject, None)
        self._states[subject] = data
        self._stir()

    async def flushed(self) -> None:
        """Returns once everything was published."""
        await self._empty.wait()

    async def run(self) -> None:
        backoff = Backoff(first_s=0.05, ceiling_s=1.0)
        while True:
            stop_if_cancelled()
            if not self._letters and not self._states:
                self._empty.set()
                self._wake.clear()
                await self._wake.wait()
            try:
                await (self._publish_letters() if self._letters else self._publish_states())
                backoff.reset()
                self._failing_since = None
                self._tell_dropped()
            except BusDownError as err:
                if self._failing_since is None:
                    self._failing_since = self._clock.monotonic()
                    log.warning("cannot publish, keeping", extra={"error": str(err)})
                await asyncio.sleep(backoff.next())
                self._forget_old()

    async def _publish_letters(self) -> None:
        """The oldest of each subject, as far as nothing is passed over. Raises `BusDownError`."""
        batch = self._next_letters()
        failures = await _all(
            self._publish(each.subject, each.data, {"Nats-Msg-Id": each.msg_id} if each.msg_id else None)
            for each in batch
        )
        kept = []
        for letter, failure in zip(batch, failures, strict=True):
            if self._letters and self._letters[0] is letter:  # or it was dropped meanwhile
                self._letters.popleft()
                if failure is not None:
                    kept.append(letter)
        self._letters.extendleft(reversed(kept))
        _raise_first(failures)

    def _next_letters(self) -> list[_Letter]:
        batch: dict[str, _Letter] = {}
        for letter in self._letters:
            if letter.subject in batch or len(batch) >= TOGETHER:
                break
            batch[letter.subject] = letter
        return list(batch.values())

    async def _publish_states(self) -> None:
        """Raises `BusDownError`."""
        batch = list(islice(self._states.items(), TOGETHER))
        failures = await _all(self._publish(subject, data) for subject, data in batch)
        for (subject, data), failure in zip(batch, failures, strict=True):
            if failure is None and self._states.get(subject) is data:
                del self._states[subject]
        _raise_first(failures)

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Raises `BusDownError`."""
        try:
            await self._link.publish(subject, data, headers)
        except BusDownError:
            raise
        except CcmError as err:
            self._tell.refused(subject, data, err.message)

    def _tell_dropped(self) -> None:
        count, self._told = self.dropped - self._told, self.dropped
        if count:
            self._tell.dropped(count)

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - KEEP_S
        gone = 0
        while self._letters and self._letters[0].at < oldest:
            self._letters.popleft()
            gone += 1
        self._drop(gone)

    def _drop(self, count: int) -> None:
        if count and self.dropped == 0:
            log.error("dropping the oldest messages: NATS has been away for too long")
        self.dropped += count

    def _stir(self) -> None:
        self._empty.clear()
        self._wake.set()


async def _all(publishing: Iterable[Awaitable[None]]) -> list[BusDownError | None]:
    """What became of each."""
    found: list[BusDownError | None] = []
    for failure in await asyncio.gather(*publishing, return_exceptions=True):
        if failure is not None and not isinstance(failure, BusDownError):
            raise failure
        found.append(failure)
    return found


def _raise_first(failures: Sequence[BusDownError | None]) -> None:
    for failure in failures:
        if failure is not None:
            raise failure
