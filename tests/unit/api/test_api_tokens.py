"""Session tokens, revocation and the count of failed sign-ins."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccm_api.attempts import MOST_FAILURES, MOST_KEYS, WINDOW_S, Attempts
from ccm_api.tokens import LIFETIME_S, MAX_LENGTH, Revoked, Signer, key_in
from ccm_kit.clock import SystemClock

NOW = 1_777_636_800.0


@dataclass
class Clock(SystemClock):
    time_s: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW + self.time_s, UTC)

    def monotonic(self) -> float:
        return self.time_s


def test_token_reads_back_until_it_expires() -> None:
    signer = Signer(b"k" * 32)
    token, claims = signer.issue("admin", "fp", NOW)
    assert signer.read(token, NOW + LIFETIME_S - 1) == claims
    assert signer.read(token, NOW + LIFETIME_S) is None


def test_token_of_another_key_is_refused() -> None:
    token, _ = Signer(b"a" * 32).issue("admin", "fp", NOW)
    assert Signer(b"b" * 32).read(token, NOW) is None


def test_changed_claims_are_refused() -> None:
    signer = Signer(b"k" * 32)
    token, _ = signer.issue("guest", "fp", NOW)
    mac = token.partition(".")[2]
    forged = base64.urlsafe_b64encode(b'["admin", "fp", 9999999999, "x"]').rstrip(b"=").decode()
    assert signer.read(f"{forged}.{mac}", NOW) is None


@given(st.text(max_size=200))
def test_garbage_is_refused(text: str) -> None:
    assert Signer(b"k" * 32).read(text, NOW) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.é", "x" * (MAX_LENGTH + 1)])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert Signer(b"k" * 32).read(token, NOW) is None


def test_fingerprint_changes_with_the_password_and_is_not_a_signature() -> None:
    signer = Signer(b"k" * 32)
    assert signer.fingerprint("one") != signer.fingerprint("two")
    assert signer.fingerprint("one") == signer.fingerprint("one")


def test_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "api/session.key"
    key = key_in(path)
    assert len(key) == 32
    assert key_in(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_revoked_tokens_are_remembered_until_they_expire(tmp_path: Path) -> None:
    _, claims = Signer(b"k" * 32).issue("admin", "fp", NOW)
    Revoked(tmp_path / "revoked", NOW).add(claims, NOW)
    assert claims.id in Revoked(tmp_path / "revoked", NOW)
    assert claims.id not in Revoked(tmp_path / "revoked", claims.expires + 1)


def test_attempts_are_blocked_per_key_for_a_minute() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(MOST_FAILURES):
        assert attempts.take("user:a", "address:1") == 0
        clock.time_s += 1
    assert attempts.take("user:a", "address:2") == WINDOW_S - MOST_FAILURES
    assert attempts.take("user:b", "address:1") > 0
    assert attempts.take("user:b", "address:2") == 0
    clock.time_s = WINDOW_S
    assert attempts.take("user:a", "address:1") == 0


def test_success_forgets_failures() -> None:
    attempts = Attempts(Clock())
    for _ in range(MOST_FAILURES - 1):
        attempts.take("user:a")
    attempts.succeeded("user:a")
    assert [attempts.take("user:a") for _ in range(MOST_FAILURES)] == [0] * MOST_FAILURES


def test_attempts_forget_the_oldest_key_at_the_bound() -> None:
    attempts = Attempts(Clock())
    for _ in range(MOST_FAILURES):
        attempts.take("first")
    for number in range(MOST_KEYS):
        attempts.take(f"user:{number}")
    assert attempts.take("first") == 0
