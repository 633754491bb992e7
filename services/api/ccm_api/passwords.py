"""Password hashing with Argon2id, in a thread and one at a time."""

import asyncio
import ctypes
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
"""19 MiB, 2 passes, 1 lane: the smallest of the settings that OWASP's password storage cheat sheet names."""

PREFIX: Final = "$argon2id$"

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's <malloc.h>."""
_OWN_MAPPING_BYTES: Final = 1024 * 1024


def return_large_blocks() -> None:
    """Have glibc give each block over 1 MiB back when it is freed.

    Left alone it raises its threshold after the first hash and keeps the second one's 19 MiB for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)


class Passwords:
    """One computation at a time bounds the memory; the others wait their turn."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` has the hash `stored`; without one, False after the same time."""
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_hex())
        async with self._turn:
            fits = await asyncio.to_thread(_fits, stored or self._dummy, password)
        return fits and bool(stored)


def _fits(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
