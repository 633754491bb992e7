"""The counters on disk, so that a restarted site never counts backwards.

`closed` is written only by an orderly end; without it a reader must assume that up to one save interval is missing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SAVE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Saved:
    """Counters in nJ by device and name; units by device, which a device keeps in a power cut."""

    was_closed: bool
    counters: Mapping[str, Mapping[str, int]]
    units: Mapping[str, int] = field(default_factory=dict)


def load(path: Path) -> Saved | None:
    """What was saved; None when there is nothing. ValueError names a file that is something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        counters = {str(k): dict(v) for k, v in document["counters_nj"].items()}
        units = {str(k): int(v) for k, v in document.get("units", {}).items()}
        return Saved(bool(document["closed"]), counters, units)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"{path}: not a state file of ccm_sim ({exc!r}); delete it to begin anew") from exc


def save(path: Path, saved: Saved) -> None:
    """Replaces the file in one step."""
    document = {"closed": saved.was_closed, "counters_nj": saved.counters, "units": dict(saved.units)}
    replace(path, json.dumps(document))


def replace(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
