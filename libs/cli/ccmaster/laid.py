"""Which sections of a site file were laid into this gateway before, so that a start does not undo what came since.

A section is laid again when the file says something new about it. In between the portal, a synchronisation and REST may
have changed it, and a restart with the same file keeps that. Only keyed digests are kept: sections hold passwords.
"""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Final

from ccm_contracts.config.document import SECTIONS, Document
from ccmaster.broker import write_private

KEY_BYTES: Final = 32


class Laid:
    """Kept in `path`, for its owner's eyes only, with a key of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fresh(self, document: Document, sections: list[str]) -> list[str]:
        """The sections that differ from what was laid last, all of them before the first time."""
        key, before = self._stored()
        now = _digests(key, document, sections)
        return [section for section in sections if now[section] != before.get(section)]

    def note(self, document: Document, sections: list[str]) -> None:
        """These are laid now."""
        key, before = self._stored()
        laid = before | _digests(key, document, sections)
        write_private(self._path, json.dumps({"key": key.hex(), "sections": laid}, indent=1, sort_keys=True))

    def _stored(self) -> tuple[bytes, dict[str, str]]:
        """The key and the digests; a new key and none where nothing can be read."""
        try:
            known = json.loads(self._path.read_text())
            return bytes.fromhex(known["key"]), dict(known["sections"])
        except (OSError, ValueError, KeyError, TypeError):
            return secrets.token_bytes(KEY_BYTES), {}


def _digests(key: bytes, document: Document, sections: list[str]) -> dict[str, str]:
    return {
        section: hashlib.blake2b(_text(section, document), key=key, digest_size=16).hexdigest()
        for section in sections
    }


def _text(section: str, document: Document) -> bytes:
    return SECTIONS[section].dump_json(
        getattr(document, section), by_alias=True, context={"seal": lambda secret: secret}
    )
