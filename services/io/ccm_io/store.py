"""The file that remembers the last decision on each output. Does not decide anything."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ccm_contracts.verbs.io import OutputId
from ccm_io.outputs import Record

log = logging.getLogger(__name__)

_RECORDS: TypeAdapter[dict[OutputId, Record]] = TypeAdapter(dict[OutputId, Record])


class Store:
    """One JSON file, replaced as a whole. It is under 1 kB: reading and writing block for one fsync at most."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[OutputId, Record]:
        """Nothing when the file is missing or damaged: then no output's state counts as known."""
        try:
            return _RECORDS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as err:
            log.error("outputs file cannot be read", extra={"path": str(self._path), "error": str(err)[:300]})
            return {}

    def save(self, records: Mapping[OutputId, Record]) -> None:
        """On disk when this returns. Raises OSError; the old file is then still whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({output: record.model_dump(mode="json") for output, record in records.items()}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
