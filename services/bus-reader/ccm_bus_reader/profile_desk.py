"""What bus-reader answers about the site's own profiles; what changes is read anew at once, without a restart."""

import asyncio
from pathlib import Path
from typing import Any

from ccm_bus_reader.own_profiles import OwnProfiles
from ccm_bus_reader.reader import Reader
from ccm_contracts.verbs.profiles import (
    ProfileList,
    ProfilePut,
    ProfilePutDone,
    ProfileQuery,
    ProfileRemove,
    ProfileRemoved,
)


class ProfileDesk:
    """One change at a time."""

    def __init__(self, reader: Reader, user_catalog: Path) -> None:
        self._reader = reader
        self._own = OwnProfiles(user_catalog)
        self._turn = asyncio.Lock()

    async def listed(self, args: ProfileQuery, _: Any) -> ProfileList:
        """Raises `RefusedError` for a profile that does not exist."""
        return await asyncio.to_thread(self._own.listed, args, self._reader.models.built_in)

    async def put(self, args: ProfilePut, _: Any) -> ProfilePutDone:
        """Answers when devices of its models are read by it. Raises `CcmError`, or answers what is wrong."""
        async with self._turn:
            done = await asyncio.to_thread(self._own.put, args, self._reader.models)
            if done.profile is not None:
                await self._reader.renew()
            return done

    async def remove(self, args: ProfileRemove, _: Any) -> ProfileRemoved:
        """Raises `CcmError`."""
        async with self._turn:
            used = [(device.id, device.model) for device in self._reader.configured]
            await asyncio.to_thread(self._own.remove, args, self._reader.models, used)
            await self._reader.renew()
            return ProfileRemoved(name=args.name)
