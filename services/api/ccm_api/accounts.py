"""Who may sign in, and as what: users of the configuration, or the first administrator before there are any.

Reads the `security` section as `Live` has it; default deny: what is not known is nobody.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ccm_api.passwords import Passwords
from ccm_api.tokens import Claims, Revoked, Signer
from ccm_contracts.config.site import Role, Security
from ccm_kit.clock import Clock

FIRST_USER: Final = "admin"
FACTORY_PASSWORD: Final = "admin"
"""The manual's sign-in (section 6.2); good for nothing but setting a new password."""

_RANK: Final[dict[Role, int]] = {"viewer": 0, "operator": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Account:
    """`secret` is the password's stored form: an Argon2id hash, or the text that the environment gave."""

    name: str
    role: Role
    secret: str
    origin: Literal["configured", "environment", "factory"]
    must_change: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request."""

    account: Account
    claims: Claims
    by_cookie: bool

    @property
    def name(self) -> str:
        return self.account.name

    def may(self, role: Role) -> bool:
        return _RANK[self.account.role] >= _RANK[role]


class Accounts:
    """`security` gives the section in force, or None while it is not known: then nobody is let in."""

    def __init__(
        self,
        security: Callable[[], Security | None],
        *,
        signer: Signer,
        revoked: Revoked,
        clock: Clock,
        first_password: str,
    ) -> None:
        self._security = security
        self._signer = signer
        self._revoked = revoked
        self._clock = clock
        self._first_password = first_password
        self.passwords = Passwords()

    def find(self, name: str) -> Account | None:
        security = self._security()
        return None if security is None else self.find_in(security, name)

    def find_in(self, security: Security, name: str) -> Account | None:
        for user in security.users:
            if user.name == name:
                stored = user.password_hash.reveal()
                return Account(name, user.role, stored, "configured", user.must_change)
        if security.users or name != FIRST_USER:
            return None
        if self._first_password:
            return Account(name, "admin", self._first_password, "environment")
        return Account(name, "admin", FACTORY_PASSWORD, "factory", must_change=True)

    async def check(self, name: str, password: str) -> Account | None:
        """The account when the password is right. Takes as long for a user that does not exist."""
        account = self.find(name)
        stored = account.secret if account and account.origin == "configured" else None
        fits = await self.passwords.verify(stored, password)
        if account is not None and account.origin != "configured":
            fits = hmac.compare_digest(account.secret.encode(), password.encode())
        return account if fits else None

    def issue(self, account: Account) -> tuple[str, Claims]:
        return self._signer.issue(account.name, self._fingerprint(account), self._now())

    def identify(self, token: str, *, by_cookie: bool) -> Identity | None:
        """Who holds this token; None when it is wrong, expired, signed out, or its password was changed."""
        claims = self._signer.read(token, self._now())
        account = self._holder(claims) if claims else None
        return Identity(account, claims, by_cookie) if claims and account else None

    def still_holds(self, identity: Identity) -> bool:
        """Whether the session goes on: for streams, which outlive their first check."""
        return identity.claims.expires > self._now() and self._holder(identity.claims) == identity.account

    def revoke(self, identity: Identity) -> None:
        self._revoked.add(identity.claims, self._now())

    def _holder(self, claims: Claims) -> Account | None:
        account = self.find(claims.user)
        if account is None or claims.id in self._revoked:
            return None
        return account if hmac.compare_digest(claims.fingerprint, self._fingerprint(account)) else None

    def _fingerprint(self, account: Account) -> str:
        return self._signer.fingerprint(f"{account.origin}:{account.secret}")

    def _now(self) -> float:
        return self._clock.now().timestamp()
