"""One connection to NATS with the few raw operations that the bus needs; only the modules `nats_*` import nats-py.

Knows nothing of models or channels: bytes in, bytes out. Every wait on the server has a time-out.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import nats
import nats.errors
import nats.js.errors
import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js import api as js_api
from nats.micro.request import Request
from nats.micro.service import Service as MicroService

from ccm_contracts.channels import BUCKETS, CHANNELS, STREAMS, Bucket, Stream
from ccm_contracts.subjects import inbox_prefix
from ccm_kit.backoff import Backoff
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import BusDownError, RefusedError, UnavailableError
from ccm_kit.nats_arrivals import DOWN
from ccm_kit.nats_pull import ACK_WAIT_S, ANSWER_S, Durable
from ccm_kit.nats_wire import wired

log = logging.getLogger(__name__)

PUBLISH_S: Final = 2.0
"""Longest wait for a stream's acknowledgement; sending again is safe, the stream stores a message id once."""
BACK_S: Final = 1.0
"""Longest wait for a lost connection before something is sent; the client tries again each 0.25 s."""
HEARTBEAT_S: Final = 5.0
SILENCE_S: Final = 12.0
"""A followed stream that sent neither message nor heartbeat for so long is asked for anew."""
MOST_FOLLOWED: Final = 10_000
"""Messages that wait for a slow follower; beyond it the snapshot is taken again."""
MOST_TOLD: Final = 50
"""Different refusals of the server that are reported, each once."""
TELL_WAITING_AT: Final = (12, 240)
"""Failed attempts to connect, one each 0.25 s, at which waiting is reported."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A message of a stream. `data` is None for a deleted key; `caught_up` ends each snapshot of a follow."""

    subject: str
    data: bytes | None
    seq: int
    caught_up: bool = False


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
                await self._ensure_kept()
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

    async def _ensure_kept(self) -> None:
        """Make the streams and buckets of the table where they are missing; never change or delete one."""
        for stream in STREAMS:
            await self._ensure(_stream_config(stream))
        for bucket in BUCKETS:
            await self._ensure(_bucket_config(bucket))

    async def _ensure(self, config: js_api.StreamConfig) -> None:
        assert config.name is not None
        try:
            await self.js.stream_info(config.name)
        except nats.js.errors.NotFoundError:
            with suppress(nats.js.errors.BadRequestError):  # another service made it just now
                await self.js.add_stream(config)

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """The stream sequence, once the stream has the message on disk. Raises `BusDownError`."""
        await self.require_connection()
        try:
            ack = await self.js.publish(subject, data, timeout=PUBLISH_S, headers=headers)
        except nats.js.errors.NoStreamResponseError as err:
            with suppress(*DOWN):
                await self._ensure_kept()
            raise BusDownError(f"no stream took {subject}") from err
        except nats.js.errors.APIError as err:
            if err.err_code == 10071:  # wrong last sequence: somebody else wrote the key meanwhile
                raise RefusedError("it was changed meanwhile", code="conflict") from err
            raise BusDownError(f"cannot publish {subject}: {err!r}") from err
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

    async def follow(self, stream: str, subject: str) -> AsyncIterator[Raw]:
        """The newest message of each subject, a `caught_up` mark, then each new one as it comes, for ever.

        Survives restarts of the server: the snapshot is taken again, what was already seen is left out.
        """
        seen: dict[str, int] = {}
        backoff = Backoff(first_s=0.1, ceiling_s=2.0)
        while True:
            stop_if_cancelled()
            try:
                async for raw in self._follow_once(stream, subject):
                    backoff.reset()
                    if raw.caught_up:
                        yield raw
                    elif seen.get(raw.subject) != raw.seq:
                        seen[raw.subject] = raw.seq
                        yield raw
            except nats.js.errors.NotFoundError:
                with suppress(*DOWN):
                    await self._ensure_kept()
            except (*DOWN, UnavailableError) as err:
                log.debug("follow again", extra={"stream": stream, "error": repr(err)})
            await asyncio.sleep(backoff.next())

    async def _follow_once(self, stream: str, subject: str) -> AsyncIterator[Raw]:
        inbox = self._nc.new_inbox()
        queue: asyncio.Queue[Msg | None] = asyncio.Queue(MOST_FOLLOWED)

        async def take(message: Msg) -> None:
            with suppress(
                asyncio.QueueFull
            ):  # the gap that this leaves is seen below, and all is asked for anew
                queue.put_nowait(message)

        subscription = await self._nc.subscribe(inbox, cb=take)
        self.followers.add(queue)
        try:
            info = await self.js.add_consumer(
                stream,
                js_api.ConsumerConfig(
                    name=f"follow-{inbox.rsplit('.', 1)[-1]}",
                    deliver_subject=inbox,
                    deliver_policy=js_api.DeliverPolicy.LAST_PER_SUBJECT,
                    ack_policy=js_api.AckPolicy.NONE,
                    filter_subject=subject,
                    mem_storage=True,
                    inactive_threshold=30.0,
                    idle_heartbeat=HEARTBEAT_S,
                    max_deliver=1,
                ),
                timeout=ANSWER_S,
            )
            left = info.num_pending or 0
            if info.delivered is not None:
                left += info.delivered.consumer_seq
            if left == 0:
                yield Raw(subject, None, 0, caught_up=True)
            async for raw in _live(queue, left):
                yield raw
        finally:
            self.followers.discard(queue)
            with suppress(*DOWN):
                await subscription.unsubscribe()

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
            raise UnavailableError("the service does not run") from err
        except DOWN as err:
            raise UnavailableError(f"no answer within {timeout_s:g} s") from err
        return answer.data

    async def serve(self, name: str, version: str, endpoints: dict[str, tuple[str, Handler]]) -> None:
        """Answer requests, as a NATS service that `nats micro` tools can discover; `endpoints`: verb -> subject."""
        service = await nats.micro.add_service(self._nc, name=name, version=version)
        self._services.append(service)
        for verb, (subject, handler) in endpoints.items():
            await service.add_endpoint(name=verb, subject=subject, handler=_answering(handler))
        for _ in range(2):  # nats-py 2.16 writes the first PING ahead of the subscriptions that still wait
            await self._nc.flush()


async def _live(queue: "asyncio.Queue[Msg | None]", left: int) -> AsyncIterator[Raw]:
    expected = 1
    while True:
        async with asyncio.timeout(SILENCE_S):
            message = await queue.get()
        if message is None:
            raise UnavailableError("NATS was away")
        if message.headers and message.headers.get("Status"):
            continue
        metadata = message.metadata
        if metadata.sequence.consumer != expected:
            raise UnavailableError("messages were skipped")
        expected += 1
        operation = (message.headers or {}).get("KV-Operation")
        data = None if operation in ("DEL", "PURGE") else message.data
        yield Raw(message.subject, data, metadata.sequence.stream)
        if expected - 1 == left:
            yield Raw(message.subject, None, 0, caught_up=True)


def _answering(handler: Handler) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        with suppress(*DOWN):
            await request.respond(await handler(request.data))

    return answer


def _stream_config(stream: Stream) -> js_api.StreamConfig:
    subjects = [channel.subject() for channel in CHANNELS if channel.kept_in is stream]
    return js_api.StreamConfig(
        name=stream.name,
        description=stream.summary,
        subjects=subjects,
        storage=js_api.StorageType.FILE,
        discard=js_api.DiscardPolicy.OLD,
        max_age=float(stream.max_age_s),
        max_bytes=stream.max_bytes,
        max_msg_size=stream.max_message,
        duplicate_window=float(stream.duplicate_window_s),
        allow_direct=True,
    )


def _bucket_config(bucket: Bucket) -> js_api.StreamConfig:
    return js_api.StreamConfig(
        name=bucket.stream,
        description=bucket.summary,
        subjects=[f"$KV.{bucket.name}.>"],
        storage=js_api.StorageType.FILE,
        discard=js_api.DiscardPolicy.NEW,
        max_msgs_per_subject=bucket.history,
        max_bytes=bucket.max_bytes,
        max_msg_size=bucket.max_value,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
    )
