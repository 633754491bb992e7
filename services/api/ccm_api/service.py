"""Composition root: what the bus says, who may ask, and the HTTP server in front."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from ccm_api.accounts import Accounts
from ccm_api.adoption import adopt
from ccm_api.app import create_app
from ccm_api.attempts import Attempts
from ccm_api.deps import Site
from ccm_api.hub import Hub
from ccm_api.live import Live
from ccm_api.passwords import return_large_blocks
from ccm_api.tokens import Revoked, Signer, key_in
from ccm_api.web import SECURITY_HEADERS
from ccm_kit.errors import BadInputError
from ccm_kit.service import Context

log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 200
"""Connections at a time; one more gets 503."""
BACKLOG: Final = 128
KEEP_ALIVE_S: Final = 20
GRACE_S: Final = 3
"""At shutdown requests under way have this long to end."""
HEADER_BYTES: Final = 16 * 1024
"""Longest request line with its headers."""


async def main(context: Context) -> None:
    """Serve until cancelled. Raises `BadInputError` when the address or port cannot be had."""
    return_large_blocks()
    listening = listen(context.settings.http_host, context.settings.http_port)
    site = site_of(context)
    server = _Server(_config(site))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(
            site.live.run(context.bus, context.box, context.revisions), name="api.live"
        )
        adopting = tasks.create_task(adopt(site), name="api.adoption")
        serving = tasks.create_task(server.serve(sockets=[listening]), name="api.http")
        log.info("listening", extra={"host": context.settings.http_host, "port": context.settings.http_port})
        try:
            await asyncio.shield(serving)
        finally:
            site.hub.end_all()
            server.should_exit = True
            await asyncio.wait({serving}, timeout=GRACE_S + 1)
            following.cancel()
            adopting.cancel()


def site_of(context: Context) -> Site:
    """Everything that the routes work with; keys and revoked sessions live in `data_dir/api`."""
    hub = Hub()
    live = Live(hub)
    own_dir = context.settings.data_dir / "api"
    accounts = Accounts(
        lambda: live.config.document.security if live.config else None,
        signer=Signer(key_in(own_dir / "session.key")),
        revoked=Revoked(own_dir / "revoked", context.clock.now().timestamp()),
        clock=context.clock,
        first_password=context.settings.admin_password,
    )
    return Site(
        bus=context.bus,
        box=context.box,
        clock=context.clock,
        version=context.version,
        live=live,
        hub=hub,
        accounts=accounts,
        attempts=Attempts(context.clock),
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `BadInputError` that names the variable to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            raise BadInputError(f"port {port} is in use: set CCM_HTTP_PORT", field="CCM_HTTP_PORT") from err
        if err.errno in (errno.EACCES, errno.EPERM):
            detail = f"port {port} is not allowed to this user: set CCM_HTTP_PORT"
            raise BadInputError(detail, field="CCM_HTTP_PORT") from err
        detail = f"cannot listen on {host}: {err.strerror}: set CCM_HTTP_HOST"
        raise BadInputError(detail, field="CCM_HTTP_HOST") from err
    # Accepted sockets inherit it. asyncio would set it itself, but not on a socket made without a protocol number;
    # without it each answer of two writes waits 40 ms for a delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class _Server(uvicorn.Server):
    """Leaves signals to the service's own loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(site: Site) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(site),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=list(SECURITY_HEADERS),
        limit_concurrency=MOST_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
