"""SunSpec devices in a search: walks the chain of models, reads the common model, and says which profiles fit."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.decode import text_of
from ccm_bus_reader.model import Profile
from ccm_bus_reader.signature import Read, Verdict
from ccm_bus_reader.sunspec.build import choose
from ccm_bus_reader.sunspec.chain import NotFoundError, Place, find_chain

COMMON: Final = 1
COMMON_REGISTERS: Final = 64
"""Manufacturer, model, options, version and serial number of the common model, behind its ID and length."""
GENERAL: Final = "sunspec/"
SHORTEST_BRAND: Final = 3

Words = Callable[[Read], Awaitable[tuple[int, ...] | None]]


@dataclass(frozen=True, slots=True)
class SunSpecDevice:
    """What the common model says, and which models there are."""

    maker: str
    serial: str | None
    version: str | None
    chain: tuple[Place, ...]


async def sunspec_device(words: Words) -> SunSpecDevice | None:
    """None for a device without the marker. `words` gives registers, or None for a refusal."""
    chain = await _chain(words)
    if not chain:
        return None
    common = next((place for place in chain if place.model == COMMON), None)
    told = await words(Read(3, common.address + 2, COMMON_REGISTERS)) if common is not None else None
    if told is None:
        return SunSpecDevice("SunSpec", None, None, chain)
    names = (text_of(told[:16], "big"), text_of(told[16:32], "big"))
    maker = " ".join(name for name in names if name) or "SunSpec"
    return SunSpecDevice(maker, text_of(told[48:64], "big"), text_of(told[40:48], "big"), chain)


async def _chain(words: Words) -> tuple[Place, ...]:
    steps = find_chain()
    held: Sequence[int] | None = None
    try:
        read = next(steps)
        while True:
            held = await words(Read(3, read.address, read.count))
            read = steps.send(held)
    except StopIteration as done:
        chain: tuple[Place, ...] = done.value
        return chain
    except NotFoundError:
        return ()


def sunspec_verdicts(device: SunSpecDevice, profiles: Iterable[Profile]) -> dict[str, Verdict]:
    """The SunSpec profiles that this chain suits, by how many of their models it has. Pure.

    Certain: those of the brand that the device names. Likely: the general ones. Another brand's are left out.
    """
    found = {}
    ids = {place.model for place in device.chain} - {COMMON}
    for profile in profiles:
        if profile.sunspec is None:
            continue
        try:
            choose(device.chain, profile.sunspec.role, profile.sunspec.instance)
        except NotFoundError:
            continue
        is_own, is_general = _names(device.maker, profile.brand), profile.id.startswith(GENERAL)
        if is_own or is_general:
            shared = len(ids.intersection(profile.sunspec.shows))
            name = f"{profile.brand} {profile.model}"[:80]
            found[profile.id] = Verdict(name, "certain" if is_own else "likely", shared)
    return found


def _names(maker: str, brand: str) -> bool:
    """Whether the device names this brand, or one of those in it: `FIMER (ABB, Power-One)`."""
    told = maker.lower()
    return any(len(word) >= SHORTEST_BRAND and word in told for word in re.findall(r"[\w-]+", brand.lower()))
