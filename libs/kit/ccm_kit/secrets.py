"""Encrypts the configuration's secrets for storage, with a key that lives outside the bucket."""

import os
from pathlib import Path

from ccm_contracts.types import SEALED_PREFIX
from ccm_kit.errors import BadInputError


class SecretBox:
    """Seals and unseals texts with the key in `path` (Fernet: AES-128-CBC with HMAC-SHA256).

    The key is made when something is first sealed and is readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def seal(self, text: str) -> str:
        from cryptography.fernet import Fernet

        if not self._path.exists():
            self._make()
        return SEALED_PREFIX + Fernet(self._path.read_bytes().strip()).encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Raises `BadInputError` when the key is missing, or when it was sealed with another."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            key = self._path.read_bytes().strip()
            return Fernet(key).decrypt(sealed.removeprefix(SEALED_PREFIX).encode()).decode()
        except OSError as err:
            raise BadInputError(f"a stored secret needs the key {self._path.name}: {err.strerror}") from err
        except (InvalidToken, ValueError) as err:
            raise BadInputError(
                f"a stored secret was sealed with another key than {self._path.name}"
            ) from err

    def _make(self) -> None:
        from cryptography.fernet import Fernet

        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            os.fsync(file.fileno())
        try:
            os.link(draft, self._path)
        except FileExistsError:
            pass  # another process made it first; its key counts
        finally:
            draft.unlink()
