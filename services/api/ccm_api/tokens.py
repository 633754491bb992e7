"""Session tokens: stateless, signed with HMAC-SHA256, valid until they expire or are revoked.

Says nothing about who may do what; `accounts.py` does.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIFETIME_S: Final = 12 * 3600
KEY_BYTES: Final = 32
MAX_LENGTH: Final = 1024
"""Characters of a token; a longer one is refused unread."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `fingerprint` binds it to the password that was in force when it was issued."""

    user: str
    fingerprint: str
    expires: int
    """Unix time, s."""
    id: str


class Signer:
    """Issues and reads tokens with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, user: str, fingerprint: str, now: float) -> tuple[str, Claims]:
        claims = Claims(user, fingerprint, int(now) + LIFETIME_S, secrets.token_hex(12))
        body = json.dumps([claims.user, claims.fingerprint, claims.expires, claims.id]).encode()
        return f"{_text(body)}.{_text(self._mac(b'session', body))}", claims

    def read(self, token: str, now: float) -> Claims | None:
        """The claims of a token that this key signed and that has not expired; otherwise None."""
        if len(token) > MAX_LENGTH or not token.isascii():
            return None
        body_text, _, mac_text = token.partition(".")
        try:
            body, mac = _bytes(body_text), _bytes(mac_text)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(mac, self._mac(b"session", body)):
            return None
        claims = Claims(*json.loads(body))
        return claims if claims.expires > now else None

    def fingerprint(self, secret: str) -> str:
        """A short keyed digest of a password's stored form; it changes when the password does."""
        return self._mac(b"password", secret.encode()).hex()[:24]

    def _mac(self, purpose: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + data, hashlib.sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def key_in(path: Path) -> bytes:
    """The key in `path`, readable by its owner only; made when it is first needed."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            os.fsync(file.fileno())
        draft.rename(path)
    return path.read_bytes()


class Revoked:
    """Tokens that were signed out before they expired; kept in a file, so that a restart does not revive them."""

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        self._until: dict[str, int] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                token_id, _, expires = line.partition(" ")
                if expires.isdigit() and int(expires) > now:
                    self._until[token_id] = int(expires)

    def __contains__(self, token_id: str) -> bool:
        return token_id in self._until

    def add(self, claims: Claims, now: float) -> None:
        """Writes the file anew with what has not expired; a sign-out is rare and the file small."""
        self._until = {each: expires for each, expires in self._until.items() if expires > now}
        self._until[claims.id] = claims.expires
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"{each} {expires}\n" for each, expires in self._until.items())
            os.fsync(file.fileno())
        draft.rename(self._path)
