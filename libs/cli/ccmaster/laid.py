"""Which sections of a site file were laid into this gateway before, so that a start does not undo what came since.

A section is laid again when the file says something new about it. In between the portal, a synchronisation and REST may
have changed it, and a restart with the same file keeps that. Only keyed digests are kept: sections hold passwords.
"""

import hashlib
import json
from pathlib import Path

from ccm_contracts.config.document import SECTIONS, Document
from ccmaster.broker import write_private


class Laid:
    """Kept in `path`; `key_file` is the gateway's secret key, which the first laying makes."""

    def __init__(self, path: Path, key_file: Path) -> None:
        self._path = path
        self._key_file = key_file

    def fresh(self, document: Document, sections: list[str]) -> list[str]:
        """The sections that differ from what was laid last, all of them before the first time."""
        before = self._stored()
        if not before or not self._key_file.exists():
            return sections
        now = self._digests(document, sections)
        return [section for section in sections if now[section] != before.get(section)]

    def note(self, document: Document, sections: list[str]) -> None:
        """These are laid now."""
        text = json.dumps(self._stored() | self._digests(document, sections), indent=1, sort_keys=True)
        write_private(self._path, text)

    def _stored(self) -> dict[str, str]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _digests(self, document: Document, sections: list[str]) -> dict[str, str]:
        key = hashlib.sha256(self._key_file.read_bytes()).digest()
        return {
            section: hashlib.blake2b(_text(section, document), key=key, digest_size=16).hexdigest()
            for section in sections
        }


def _text(section: str, document: Document) -> bytes:
    return SECTIONS[section].dump_json(
        getattr(document, section), by_alias=True, context={"seal": lambda secret: secret}
    )
