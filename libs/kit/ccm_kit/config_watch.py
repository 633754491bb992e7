"""The configuration in force: follows the sections on the bus and hands out frozen snapshots.

An invalid section is refused with its field (a `rejected` event) and the old one stays in force.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from ccm_contracts.config.document import SECTIONS, Document
from ccm_kit.bus import Bus
from ccm_kit.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The document as stored; sections that nobody wrote have their defaults and no revision."""

    document: Document
    revisions: dict[str, int]


async def snapshots(
    bus: Bus, box: SecretBox, sections: Collection[str] = tuple(SECTIONS)
) -> AsyncIterator[Snapshot]:
    """First the configuration as it is, then a new snapshot whenever one of `sections` is written, for ever."""
    document = Document()
    defaults = Document()
    revisions: dict[str, int] = {}
    caught_up = False
    async for section, seen in bus.follow_config(context={"unseal": box.unseal}, sections=sections):
        if seen.caught_up:
            first, caught_up = not caught_up, True
            if first:
                yield Snapshot(document, dict(revisions))
            continue
        value = getattr(defaults, section) if seen.message is None else seen.message
        document = document.model_copy(update={section: value})
        revisions[section] = seen.revision
        if caught_up:
            yield Snapshot(document, dict(revisions))
