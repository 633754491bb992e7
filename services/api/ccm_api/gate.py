"""The one door to the API: default deny, same-origin check, forced password change, and the audit of mutations.

A plain ASGI middleware, so that nothing of a request is read before its sender is known.
"""

from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ccm_api import problems
from ccm_api.accounts import Identity
from ccm_api.deps import AUDIT, IDENTITY, Audit, Site, address_of
from ccm_api.problems import ProblemError
from ccm_kit.errors import CcmError

ROOT: Final = "/api/v1"
COOKIE: Final = "ccm_session"
BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a request's body."""
TOO_LARGE: Final = "content-too-large"

PUBLIC: Final = frozenset(
    {("POST", f"{ROOT}/session"), ("GET", f"{ROOT}/health/live"), ("GET", f"{ROOT}/health/ready")}
)
WHILE_MUST_CHANGE: Final = frozenset(
    {
        *PUBLIC,
        ("GET", f"{ROOT}/session"),
        ("DELETE", f"{ROOT}/session"),
        ("POST", f"{ROOT}/session/password"),
    }
)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


class Gate:
    """Lets through what is public or whose sender may; the routes then ask for the role."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _forbid_storing(message)
            await send(message)

        audit = scope[AUDIT] = Audit()
        try:
            scope[IDENTITY] = self._admitted(scope)
        except CcmError as err:
            refusal = problems.response(problems.from_error(err), scope["path"])
            await refusal(scope, receive, sending)
            return
        try:
            await self._app(scope, _limited(receive), sending)
        finally:
            self._write(scope, audit, status)

    def _admitted(self, scope: Scope) -> Identity | None:
        """Who asks; None for what is public. Raises `ProblemError` for everybody else."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            raise ProblemError(413, TOO_LARGE, f"a body has at most {BODY_LIMIT} bytes")
        operation = (scope["method"], scope["path"])
        identity = None if operation in PUBLIC else self._identified(headers)
        by_browser = identity is None or identity.by_cookie
        if scope["method"] not in _READS and by_browser and not _is_same_origin(headers):
            raise ProblemError(403, "cross-origin", "this request comes from another site")
        if identity and identity.account.must_change and operation not in WHILE_MUST_CHANGE:
            detail = "set a new password first: POST /api/v1/session/password"
            raise ProblemError(403, "must-change-password", detail)
        return identity

    def _identified(self, headers: Headers) -> Identity:
        _ = self._site.snapshot  # nobody can be known before the users are
        scheme, _, token = headers.get("authorization", "").partition(" ")
        by_cookie = scheme.lower() != "bearer"
        if by_cookie:
            token = _cookie(headers)
        identity = self._site.accounts.identify(token.strip(), by_cookie=by_cookie) if token else None
        if identity is None:
            detail = (
                "sign in first: POST /api/v1/session" if not token else "the session has ended: sign in again"
            )
            raise ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
        return identity

    def _write(self, scope: Scope, audit: Audit, status: int) -> None:
        """The event of a mutation: what the route noted, or that it was refused."""
        identity: Identity | None = scope[IDENTITY]
        if not audit.kind:
            if identity is None or scope["method"] in _READS:
                return
            action = f"{scope['method']} {scope['path'][:200]}"
            if status < 400:
                audit.note("request", action)
            else:
                audit.note("request-refused", f"{action} was refused with {status}", severity="warning")
        facts: dict[str, Any] = {"address": address_of(scope), "status": status}
        if identity is not None:
            facts["user"] = identity.name
        who = facts.get("user") or audit.data.get("user", "somebody")
        self._site.bus.event(audit.kind, audit.severity, f"{who}: {audit.text}", **facts | audit.data)


def _cookie(headers: Headers) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def _is_same_origin(headers: Headers) -> bool:
    """What browsers say of a request's origin; a client that says nothing is no browser, so nobody rides on it."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _limited(receive: Receive) -> Receive:
    """`receive` that gives up on a body without a length once it is too long."""
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_LIMIT:
            raise HTTPException(413, TOO_LARGE)
        return message

    return receiving


def _forbid_storing(message: MutableMapping[str, Any]) -> None:
    headers = list(message.get("headers", []))
    if not any(name.lower() == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    message["headers"] = headers
