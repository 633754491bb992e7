"""Sign-in, sign-out, and the change of one's own password."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from ccm_api.accounts import FACTORY_PASSWORD, Account, Identity
from ccm_api.deps import AddressDep, AuditDep, Site, SiteDep, ViewerDep
from ccm_api.gate import COOKIE
from ccm_api.problems import ProblemError, invalid
from ccm_api.shapes import NewSession, PasswordChange, Session, SignIn
from ccm_api.tokens import LIFETIME_S, Claims
from ccm_contracts.config.site import Security, User
from ccm_contracts.types import Secret
from ccm_kit.errors import RefusedError

router = APIRouter(prefix="/session", tags=["session"])


@router.post("", summary="Sign in")
async def sign_in(
    body: SignIn, request: Request, response: Response, site: SiteDep, audit: AuditDep, address: AddressDep
) -> NewSession:
    """Answers a token for `Authorization: Bearer` and sets the same as a cookie. Both last 12 hours.

    After 5 failures in a minute, of one user or from one address, further attempts get 429.
    """
    _ = site.snapshot
    keys = (f"user:{body.user}", f"address:{address}")
    _take(site, keys)
    account = await site.accounts.check(body.user, body.password)
    if account is None:
        audit.note(
            "sign-in-failed", "wrong user or password", severity="warning", user=body.user, address=address
        )
        raise ProblemError(401, "wrong-sign-in", "wrong user or password")
    site.attempts.succeeded(*keys)
    audit.note("signed-in", "signed in", user=account.name, role=account.role)
    return _begin(site, account, request, response)


@router.get("", summary="Who is signed in")
async def who_am_i(identity: ViewerDep) -> Session:
    return Session(**_facts(identity.account, identity.claims))


@router.delete("", status_code=204, summary="Sign out")
async def sign_out(response: Response, site: SiteDep, identity: ViewerDep, audit: AuditDep) -> None:
    """The token is refused from now on, and streams that it opened end."""
    site.accounts.revoke(identity)
    site.hub.look()
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    audit.note("signed-out", "signed out")


@router.post("/password", summary="Change one's own password")
async def change_password(
    body: PasswordChange,
    request: Request,
    response: Response,
    site: SiteDep,
    identity: ViewerDep,
    audit: AuditDep,
    address: AddressDep,
) -> NewSession:
    """All sessions of the user end; the answer is a new one. With the factory sign-in this is the only way on."""
    keys = (f"user:{identity.name}", f"address:{address}")
    _take(site, keys)
    if await site.accounts.check(identity.name, body.old) is None:
        audit.note("password-refused", "gave a wrong password to change it", severity="warning")
        raise ProblemError(403, "wrong-password", "the old password is wrong")
    site.attempts.succeeded(*keys)
    if body.new in (body.old, FACTORY_PASSWORD, identity.name):
        raise invalid("new", "must be another than the old one and than the user's name")
    security = await _store(site, identity, body.new)
    audit.note("password-changed", "changed the password")
    account = site.accounts.find_in(security, identity.name)
    assert account is not None
    return _begin(site, account, request, response)


async def _store(site: Site, identity: Identity, password: str) -> Security:
    hashed = Secret(await site.accounts.passwords.hash(password))
    snapshot = site.snapshot
    users = snapshot.document.security.users or [User(name=identity.name, role="admin")]
    changed = {"password_hash": hashed, "must_change": False}
    security = Security(
        users=[user.model_copy(update=changed) if user.name == identity.name else user for user in users]
    )
    revision = snapshot.revisions.get("security", 0)
    try:
        stored = await site.bus.write_config("security", security, seal=site.box.seal, revision=revision)
    except RefusedError as err:
        detail = "the users were changed meanwhile, or their stored list cannot be read; try again"
        raise ProblemError(409, "conflict", detail) from err
    await site.live.applied("security", stored)
    return security


def _take(site: Site, keys: tuple[str, ...]) -> None:
    wait_s = site.attempts.take(*keys)
    if wait_s:
        detail = f"too many failed sign-ins: try again in {wait_s} s"
        raise ProblemError(429, "too-many-attempts", detail, headers={"Retry-After": str(wait_s)})


def _begin(site: Site, account: Account, request: Request, response: Response) -> NewSession:
    token, claims = site.accounts.issue(account)
    response.set_cookie(
        COOKIE,
        token,
        max_age=LIFETIME_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return NewSession(token=token, **_facts(account, claims))


def _facts(account: Account, claims: Claims) -> dict[str, object]:
    return {
        "user": account.name,
        "role": account.role,
        "must_change_password": account.must_change,
        "expires": datetime.fromtimestamp(claims.expires, UTC),
    }
