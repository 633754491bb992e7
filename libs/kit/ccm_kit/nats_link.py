"""One connection to NATS with the few raw operations that the bus needs; only the modules `nats_*` import nats-py.

Knows nothing of models or channels: bytes in, bytes out. Every wait on the server has a time-out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import nats
import nats.errors
import nats.js.errors
import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.micro.request import Request
from nats.micro.service import Service as MicroService

from ccm_contracts import subjects
from ccm_contracts.subjects import inbox_prefix
from ccm_kit.backoff import Backoff
from ccm_kit.errors import BusDownError, RefusedError, UnavailableError
from ccm_kit.nats_arrivals import DOWN
from ccm_kit.nats_follow import Raw
from ccm_kit.nats_kept import ensure_kept
from ccm_kit.nats_pull import ACK_WAIT_S, ANSWER_S, Durable
from ccm_kit.nats_wire import wired

log = logging.getLogger(__name__)

PUBLISH_S: Final = 2.0
"""Longest wait for a stream's acknowledgement; sending again is safe, the stream stores a message id once."""
BACK_S: Final = 1.0
"""Longest wait for a lost connection before something is sent; the client tries again each 0.25 s."""
MOST_TOLD: Final = 50
"""Different refusals of the server that are reported, each once."""
CHANGED: Final = 10071
"""Error code of JetStream: somebody else wrote the key meanwhile (wrong last sequence)."""
TOO_LARGE: Final = 10054
"""Error code of JetStream: the message is longer than the stream takes."""
TELL_WAITING_AT: Final = (12, 240)
"""Failed attempts to connect, one each 0.25 s, at which waiting is reported."""


Handler = Callable[[bytes], Awaitable[bytes]]


class NatsLink:
    """Use as an async context manager; entering waits for the server, however long it takes."""

    def __init__(self, url: str, *, user: str, password: str, name: str) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._name = name
        self._nc: Client = Client()
        self.wire = wired(self._nc)
        self.js: JetStreamContext = self._nc.jetstream()
        self._services: list[MicroService] = []
        self.followers: set[asyncio.Queue[Msg | None]] = set()
        """Each gets a None when the connection was lost and is back: what it waited for may never come."""
        self.when_back: set[Callable[[], None]] = set()
        """Each is called then."""
        self._told: set[str] = set()
        self._failed_connects = 0
        self._is_leaving = False
        self._is_up = asyncio.Event()
        self.closed = asyncio.Event()
        """Set when the connection is lost for good: the process should end and be started again."""

    @property
    def client(self) -> Client:
        """nats-py's own; for `nats_pull`."""
        return self._nc

    @property
    def is_connected(self) -> bool:
        return bool(self._nc.is_connected)

    async def require_connection(self) -> None:
        """Wait a moment for NATS to be back; raises `BusDownError` when it stays away.

        What is sent while it is away may be lost, and its time-out costs more than this wait.
        """
        if self._is_up.is_set():
            return
        try:
            async with asyncio.timeout(BACK_S):
                await self._is_up.wait()
        except TimeoutError as err:
            raise BusDownError("NATS is away") from err

    async def __aenter__(self) -> "NatsLink":
        try:
            await self._enter()
        except BaseException:
            await self._drop()
            raise
        return self

    async def _enter(self) -> None:
        backoff = Backoff(first_s=0.1, ceiling_s=2.0)
        while True:
            try:
                await self._connect()
                await ensure_kept(self.js)
                return
            except DOWN as err:
                await self._drop()
                if backoff.attempts in (3, 30):
                    log.warning("waiting for NATS", extra={"error": repr(err)})
                await asyncio.sleep(backoff.next())

    async def __aexit__(self, *_: object) -> None:
        self._is_leaving = True
        with suppress(*DOWN, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for service in self._services:
                    await service.stop()
                await self._nc.drain()
        await self._drop()

    async def _connect(self) -> None:
        async def down() -> None:
            self._is_up.clear()
            if not self._is_leaving:
                log.warning("NATS is away")

        async def back() -> None:
            log.info("NATS is back")
            self._is_up.set()
            self._failed_connects = 0
            for queue in self.followers:
                while queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)
            for tell in tuple(self.when_back):
                tell()

        async def closed() -> None:
            self.closed.set()

        async def trouble(err: Exception) -> None:
            self._tell(err)

        self._nc = Client()
        self.wire = wired(self._nc)
        await self._nc.connect(
            self._url,
            user=self._user or None,
            password=self._password or None,
            name=self._name,
            inbox_prefix=inbox_prefix(self._name),
            connect_timeout=3,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type] # annotated as int, slept as it is
            ping_interval=10,
            max_outstanding_pings=2,
            disconnected_cb=down,
            reconnected_cb=back,
            closed_cb=closed,
            error_cb=trouble,
        )
        self._is_up.set()
        self.closed.clear()
        self.js = self._nc.jetstream(timeout=ANSWER_S)

    def _tell(self, err: Exception) -> None:
        """What the client library reports, each attempt to connect included: what repeats is said once."""
        is_refusal = isinstance(err, nats.errors.AuthorizationError) or "violation" in str(err).lower()
        if is_refusal and str(err) not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(str(err))
            log.warning("NATS refuses", extra={"error": str(err)})
        elif isinstance(err, OSError) and not self.is_connected:
            self._failed_connects += 1
            if self._failed_connects in TELL_WAITING_AT:
                log.warning("waiting for NATS", extra={"error": str(err)})
        else:
            log.debug("NATS client", extra={"error": repr(err)})

    async def _drop(self) -> None:
        with suppress(*DOWN, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._nc.close()

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """The stream sequence, once the stream has the message on disk. Raises `BusDownError`.

        Raises `RefusedError` where trying again does not help.
        """
        await self.require_connection()
        try:
            ack = await self.js.publish(subject, data, timeout=PUBLISH_S, headers=headers)
        except nats.js.errors.NoStreamResponseError as err:
            with suppress(*DOWN):
                await ensure_kept(self.js)
            raise BusDownError(f"no stream took {subject}") from err
        except nats.js.errors.APIError as err:
            if err.err_code == CHANGED:
                raise RefusedError("it was changed meanwhile", code="conflict") from err
            if err.err_code == TOO_LARGE:
                raise _too_large(data) from err
            raise BusDownError(f"cannot publish {subject}: {err!r}") from err
        except nats.errors.MaxPayloadError as err:
            raise _too_large(data) from err
        except DOWN as err:
            raise BusDownError(f"cannot publish {subject}: {err!r}") from err
        return ack.seq

    async def last(self, stream: str, subject: str) -> Raw | None:
        """The newest message on one subject, or None. Raises `BusDownError`."""
        await self.require_connection()
        try:
            found = await self.js.get_last_msg(stream, subject, direct=True)
        except nats.js.errors.NotFoundError:
            return None
        except DOWN as err:
            raise BusDownError(f"cannot read {subject}: {err!r}") from err
        deleted = bool(found.headers and found.headers.get("KV-Operation") in ("DEL", "PURGE"))
        return Raw(subject, None if deleted else found.data or b"", found.seq or 0)

    def durable(
        self,
        stream: str,
        name: str,
        subject: str,
        ack_wait_s: float = ACK_WAIT_S,
        start_seq: int | None = None,
    ) -> Durable:
        return Durable(self, stream, name, subject, ack_wait_s, start_seq)

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Raises `UnavailableError` when nobody answers in time."""
        await self.require_connection()
        try:
            answer = await self._nc.request(subject, data, timeout=timeout_s)
        except nats.errors.NoRespondersError as err:
            raise UnavailableError(f"the service {_owner(subject)} does not run") from err
        except DOWN as err:
            raise UnavailableError(
                f"the service {_owner(subject)} does not answer ({timeout_s:g} s)"
            ) from err
        return answer.data

    async def serve(
        self, name: str, version: str, endpoints: dict[str, tuple[str, Handler]]
    ) -> Callable[[], Awaitable[None]]:
        """Answer requests, as a NATS service that `nats micro` tools can discover; `endpoints`: verb -> subject.

        What it returns ends that.
        """
        service = await nats.micro.add_service(self._nc, name=name, version=version)
        self._services.append(service)
        for verb, (subject, handler) in endpoints.items():
            await service.add_endpoint(name=verb, subject=subject, handler=_answering(handler))
        for _ in range(2):  # nats-py 2.16 writes the first PING ahead of the subscriptions that still wait
            await self._nc.flush()

        async def stop() -> None:
            self._services.remove(service)
            with suppress(*DOWN, TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await service.stop()

        return stop


def _answering(handler: Handler) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        with suppress(*DOWN):
            await request.respond(await handler(request.data))

    return answer


def _owner(subject: str) -> str:
    """Who answers a request."""
    ids = subjects.parse(subjects.REQUEST, subject)
    return ids["service"] if ids else subject


def _too_large(data: bytes) -> RefusedError:
    return RefusedError(f"its {len(data)} bytes are more than the bus takes", code="too-large")
