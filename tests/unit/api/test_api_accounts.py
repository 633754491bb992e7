"""Who may sign in: users of the configuration, the environment's password, the manual's sign-in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ccm_api.accounts import Accounts
from ccm_api.tokens import Revoked, Signer
from ccm_contracts.config.site import Role, Security, User
from ccm_contracts.types import Secret
from ccm_kit.clock import SystemClock


class Clock(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 5, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Site:
    """Holds the section that the accounts read."""

    def __init__(self, tmp_path: Path, first_password: str = "") -> None:
        self.security: Security | None = Security()
        self.accounts = Accounts(
            lambda: self.security,
            signer=Signer(b"k" * 32),
            revoked=Revoked(tmp_path / "revoked", 0),
            clock=Clock(),
            first_password=first_password,
        )

    async def add(self, name: str, password: str, role: Role = "viewer") -> None:
        assert self.security is not None
        hashed = Secret(await self.accounts.passwords.hash(password)) if password else Secret("")
        user = User(name=name, role=role, password_hash=hashed)
        self.security = Security(users=[*self.security.users, user])


async def test_nobody_gets_in_before_the_users_are_known(tmp_path: Path) -> None:
    site = Site(tmp_path, "first password")
    site.security = None
    assert await site.accounts.check("admin", "first password") is None
    assert await site.accounts.check("admin", "admin") is None


async def test_factory_sign_in_must_change_and_ends_with_the_first_user(tmp_path: Path) -> None:
    site = Site(tmp_path)
    account = await site.accounts.check("admin", "admin")
    assert account
    assert account.must_change
    await site.add("chief", "a long secret", "admin")
    assert await site.accounts.check("admin", "admin") is None


async def test_environment_password_replaces_the_factory_one(tmp_path: Path) -> None:
    site = Site(tmp_path, "first password")
    assert await site.accounts.check("admin", "admin") is None
    account = await site.accounts.check("admin", "first password")
    assert account
    assert not account.must_change


@pytest.mark.parametrize("password", ["", "nobody's password", "admin"])
async def test_user_without_hash_cannot_sign_in(tmp_path: Path, password: str) -> None:
    site = Site(tmp_path)
    await site.add("ghost", "")
    assert await site.accounts.check("ghost", password) is None
    assert await site.accounts.check("unknown", password) is None


async def test_password_change_ends_the_session(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.add("chief", "a long secret", "admin")
    account = await site.accounts.check("chief", "a long secret")
    assert account
    token, _ = site.accounts.issue(account)
    identity = site.accounts.identify(token, by_cookie=False)
    assert identity
    assert site.accounts.still_holds(identity)
    site.security = Security()
    await site.add("chief", "a long secret", "admin")  # the same password has another salt
    assert site.accounts.identify(token, by_cookie=False) is None
    assert not site.accounts.still_holds(identity)


async def test_roles_include_the_lower_ones(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.add("hand", "a long secret", "operator")
    account = await site.accounts.check("hand", "a long secret")
    assert account
    token, _ = site.accounts.issue(account)
    identity = site.accounts.identify(token, by_cookie=True)
    assert identity
    assert [identity.may(role) for role in ("viewer", "operator", "admin")] == [True, True, False]
