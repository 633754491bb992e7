"""How a service process lives: settings, logging, the bus, its announcement, and an orderly end on SIGTERM."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version as version_of
from typing import Final

from ccm_contracts.channels import SERVICE_STATE, Service
from ccm_contracts.state import ServiceState
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import Clock, SystemClock
from ccm_kit.errors import BadInputError
from ccm_kit.nats_link import NatsLink
from ccm_kit.secrets import SecretBox
from ccm_kit.settings import Settings, settings_from

log = logging.getLogger(__name__)

ANNOUNCE_S: Final = 5.0
STOP_S: Final = 10.0
"""After SIGTERM a service has this long to finish; then its process ends all the same."""


@dataclass(slots=True)
class Context:
    """Everything that a service is given."""

    settings: Settings
    bus: Bus
    clock: Clock
    box: SecretBox
    version: str
    revisions: dict[str, int] = field(default_factory=dict)
    """The service notes here which configuration it has applied; it is announced."""


Main = Callable[[Context], Awaitable[None]]
Alone = Callable[[Settings, asyncio.Event], Coroutine[None, None, None]]
"""What a service must see to while there is no bus yet; returns soon after the event says that there is one."""


def run(service: Service, main: Main, *, alone: Alone | None = None) -> None:
    """Run `main` until SIGTERM or SIGINT; ends the process with 0, 1 (crash) or 2 (bad settings)."""
    try:
        settings = settings_from(service, os.environ)
    except BadInputError as err:
        print(f"{service}: {err}", file=sys.stderr)  # noqa: T201 - before logging is set up
        raise SystemExit(2) from err
    from ccm_kit import log as ccm_log

    ccm_log.set_up(service, settings.log_style, settings.log_level)
    if settings.die_with_parent:
        die_with_parent()
    raise SystemExit(asyncio.run(_live(service, settings, main, alone)))


def die_with_parent() -> None:
    """Linux: SIGTERM this process when its parent dies, so that no orphan keeps a port or a relay."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG of <sys/prctl.h>
    if os.getppid() == 1:
        raise SystemExit(1)


async def _live(service: Service, settings: Settings, main: Main, alone: Alone | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(service, settings, main, alone), name=service)
    waiting = asyncio.create_task(stop.wait(), name=f"{service}.stop")
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not work.done():
        log.info("stopping")
        work.cancel()
        await asyncio.wait({work}, timeout=STOP_S)
    if not work.done():
        log.error("did not stop in time", extra={"limit_s": STOP_S})
        os._exit(1)
    if work.cancelled():
        return 0
    error = work.exception()
    if error is None:
        return 0
    refusals = _bad_inputs_in(error)
    for refusal in refusals:
        log.error("cannot run: %s", refusal)
    if refusals:
        return 2
    log.error("stopped by an error", exc_info=error)
    return 1


def _bad_inputs_in(error: BaseException) -> list[BaseException]:
    """The `BadInputError`s, when the process stopped because of nothing else."""
    if not isinstance(error, BaseExceptionGroup):
        return [error] if isinstance(error, BadInputError) else []
    inner = [_bad_inputs_in(each) for each in error.exceptions]
    return [each for found in inner for each in found] if all(inner) else []


@asynccontextmanager
async def _connected(link: NatsLink, settings: Settings, alone: Alone | None) -> AsyncIterator[None]:
    """`link`, entered; `alone` is at work until then."""
    is_connected = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        if alone is not None:
            tasks.create_task(alone(settings, is_connected), name=f"{settings.service}.alone")
        await link.__aenter__()
        is_connected.set()
    try:
        yield
    finally:
        await link.__aexit__(None, None, None)


async def _work(service: Service, settings: Settings, main: Main, alone: Alone | None) -> None:
    clock = SystemClock()
    version = version_of(f"ccm-{service}")
    link = NatsLink(settings.nats_url, user=settings.nats_user, password=settings.nats_password, name=service)
    async with (
        _connected(link, settings, alone),
        open_bus(link, service=service, gateway=settings.gateway, clock=clock, version=version) as bus,
    ):
        context = Context(settings, bus, clock, SecretBox(settings.secret_key_file), version)
        log.info("started", extra={"version": version, "gateway": settings.gateway})
        bus.event("service-started", "info", f"{service} started", version=version)
        async with asyncio.TaskGroup() as tasks:
            side = [
                tasks.create_task(_announce(context), name=f"{service}.announce"),
                tasks.create_task(_watch_link(link), name=f"{service}.link"),
            ]
            await main(context)
            for task in side:
                task.cancel()


async def _announce(context: Context) -> None:
    """Tell the bus, and the container's health check, that this service lives."""
    started = context.clock.now()
    service = context.bus.service
    alive = context.settings.alive_file
    while True:
        state = ServiceState(
            service=service,
            instance=service,
            version=context.version,
            ts=context.clock.now(),
            started=started,
            pid=os.getpid(),
            config=dict(context.revisions),
        )
        context.bus.state(SERVICE_STATE, state, id=service)
        if alive is not None and context.bus.is_connected:
            with suppress(OSError):
                alive.touch()
        await asyncio.sleep(ANNOUNCE_S)


async def _watch_link(link: NatsLink) -> None:
    await link.closed.wait()
    raise ConnectionError("NATS closed the connection for good")
