"""What routes ask for: the site, who makes the request, and how its effect is noted for the audit."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request

from ccm_api.accounts import Accounts, Identity
from ccm_api.attempts import Attempts
from ccm_api.hub import Hub
from ccm_api.live import Live
from ccm_api.problems import ProblemError, from_error
from ccm_contracts.config.document import Document
from ccm_contracts.config.site import Role
from ccm_contracts.messages import Severity
from ccm_contracts.verb_table import Verb
from ccm_kit.bus import A, Bus, R
from ccm_kit.clock import Clock
from ccm_kit.config_watch import Snapshot
from ccm_kit.errors import CcmError, UnavailableError
from ccm_kit.secrets import SecretBox

IDENTITY: Final = "ccm.identity"
AUDIT: Final = "ccm.audit"
"""Keys of the request's scope, set by the gate."""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the routes work with."""

    bus: Bus
    box: SecretBox
    clock: Clock
    version: str
    live: Live
    hub: Hub
    accounts: Accounts
    attempts: Attempts

    @property
    def snapshot(self) -> Snapshot:
        if self.live.config is None:
            raise UnavailableError("the configuration is not known yet", code="starting")
        return self.live.config

    @property
    def document(self) -> Document:
        return self.snapshot.document


@dataclass(slots=True)
class Audit:
    """What a request did, for the event that the gate writes when it ends."""

    kind: str = ""
    text: str = ""
    severity: Severity = "info"
    data: dict[str, Any] = field(default_factory=dict)

    def note(self, kind: str, text: str, *, severity: Severity = "info", **data: Any) -> None:
        self.kind, self.text, self.severity, self.data = kind, text, severity, data


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def audit_of(request: Request) -> Audit:
    audit: Audit = request.scope[AUDIT]
    return audit


def _at_least(role: Role) -> Any:
    def check(request: Request) -> Identity:
        identity: Identity | None = request.scope.get(IDENTITY)
        if identity is None:
            raise ProblemError(401, "unauthorized", "sign in first")
        if not identity.may(role):
            detail = f"this needs the role {role}; {identity.name} is {identity.account.role}"
            raise ProblemError(403, "forbidden", detail)
        return identity

    check.__name__ = role
    return Depends(check)


def _address(request: Request) -> str:
    return address_of(request.scope)


SiteDep = Annotated[Site, Depends(site_of)]
AuditDep = Annotated[Audit, Depends(audit_of)]
ViewerDep = Annotated[Identity, _at_least("viewer")]
OperatorDep = Annotated[Identity, _at_least("operator")]
AdminDep = Annotated[Identity, _at_least("admin")]
AddressDep = Annotated[str, Depends(_address)]

CommandIdDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="A repeat with the same key within 10 minutes acts once and gets the first answer.",
    ),
]


def address_of(scope: Any) -> str:
    """The client's network address, without its port."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


async def command(site: Site, verb: Verb[A, R], args: A, *, who: Identity, command_id: str | None) -> R:
    """Have a service act, or say why not. It must not act any more once the client was told that it did not."""
    command_id = command_id or secrets.token_hex(16)
    deadline = site.clock.now() + timedelta(seconds=verb.timeout_s)
    try:
        return await site.bus.call(
            verb, args, issued_by=f"api:{who.name}", command_id=command_id, deadline=deadline
        )
    except CcmError as err:
        problem = from_error(err)
        problem.command_id = command_id
        raise problem from err
