"""Finding out what a SunSpec device has: gives the next read, takes its registers, ends with the device's profile.

Sans-I/O: the line's owner carries the reads out.
"""

from collections.abc import Generator, Sequence
from typing import Final

from ccm_bus_reader.model import Profile
from ccm_bus_reader.sunspec.build import build, choose, needs_registers
from ccm_bus_reader.sunspec.chain import NotFoundError, Place, Read, Words, find_chain, read_registers
from ccm_bus_reader.sunspec.table import tables

SHOWN_AT: Final = 40002
"""Where the models would be that a profile of the catalogue shows."""


class Discovery:
    """`read` is what is wanted next, None at the end; then there is either a `profile` or a `problem`."""

    def __init__(self, listed: Profile, attempt: int = 0) -> None:
        """`listed`: the catalogue's profile; `attempt`: see `find_chain`."""
        self.profile: Profile | None = None
        self.problem = ""
        self._steps = _steps(listed, attempt)
        self.read: Read | None = next(self._steps)

    def answered(self, words: Sequence[int] | None) -> None:
        """The registers of `read`; None: the device refuses it."""
        try:
            self.read = self._steps.send(words)
        except StopIteration as done:
            self.read, self.profile = None, done.value
        except NotFoundError as err:
            self.read, self.problem = None, str(err)


def _steps(listed: Profile, attempt: int) -> Generator[Read, Words, Profile]:
    if listed.sunspec is None:
        raise ValueError(f"{listed.id} is not found by discovery")
    chain = yield from find_chain(attempt)
    chosen = choose(chain, listed.sunspec.role, listed.sunspec.instance)
    held: dict[int, Sequence[int]] = {}
    for place, table in chosen:
        if needs_registers(table):
            count = place.length + 2
            held[place.address] = yield from read_registers(place.address, count, listed.limits.max_block)
    return build(listed, chosen, held)


def shown(profile: Profile) -> Profile:
    """What the catalogue shows: the points of a device with the models that the file names, one after the other."""
    if profile.sunspec is None:
        return profile
    address = SHOWN_AT
    chain: list[Place] = []
    held: dict[int, Sequence[int]] = {}
    for model in profile.sunspec.shows:
        table = next(each for each in tables() if model in each.ids)
        place = Place(model, address, table.length)
        chain.append(place)
        if table.repeat is not None:
            held[address] = [0] * (place.length + 2)
        address = place.end
    return build(profile, choose(chain, profile.sunspec.role, 1), held)
