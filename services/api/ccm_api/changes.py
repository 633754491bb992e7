"""What a configuration would change, field by field, with secrets masked. Pure: compares two documents."""

from collections.abc import Iterator
from typing import Any, Final

from ccm_api.config_shapes import ConfigChange
from ccm_contracts.config.document import SECTIONS, Document

MOST_CHANGES: Final = 1000
"""In one answer; who changes more reads the file."""
_NAMES: Final = ("id", "name")
"""What tells the members of a list apart."""


def changes_between(before: Document, after: Document) -> list[ConfigChange]:
    """In the order of the sections; at most `MOST_CHANGES`. Members of lists go by their id or name."""
    found: list[ConfigChange] = []
    for section in SECTIONS:
        pair = [_dumped(section, getattr(document, section)) for document in (before, after)]
        for change in _differences(section, *pair):
            if len(found) == MOST_CHANGES:
                return found
            found.append(change)
    return found


class _Both:
    """A value as it is, to compare, and as it may be shown."""

    __slots__ = ("real", "shown")

    def __init__(self, real: Any, shown: Any) -> None:
        self.real, self.shown = real, shown

    def parts(self) -> dict[str, "_Both"] | None:
        """Its fields, or its members by name; None for what has neither."""
        if isinstance(self.real, dict):
            return {key: _Both(value, self.shown[key]) for key, value in self.real.items()}
        if isinstance(self.real, list):
            names = [_name(each) for each in self.real]
            if None not in names and len(set(names)) == len(names):
                return dict(zip(names, map(_Both, self.real, self.shown), strict=True))
        return None


def _dumped(section: str, value: Any) -> _Both:
    adapter = SECTIONS[section]
    real = adapter.dump_python(value, mode="json", by_alias=True, context={"seal": str})
    return _Both(real, adapter.dump_python(value, mode="json", by_alias=True))


def _differences(field: str, before: _Both, after: _Both) -> Iterator[ConfigChange]:
    if before.real == after.real:
        return
    old, new = before.parts(), after.parts()
    if old is None or new is None or type(before.real) is not type(after.real):
        yield ConfigChange(field=field, kind="changed", before=before.shown, after=after.shown)
        return
    names = [*old, *(name for name in new if name not in old)]
    inner = [change for name in names for change in _of_part(f"{field}.{name}", old.get(name), new.get(name))]
    yield from inner or [ConfigChange(field=field, kind="reordered", before=list(old), after=list(new))]


def _of_part(field: str, before: _Both | None, after: _Both | None) -> Iterator[ConfigChange]:
    if before is None and after is not None:
        yield ConfigChange(field=field, kind="added", after=after.shown)
    elif after is None and before is not None:
        yield ConfigChange(field=field, kind="removed", before=before.shown)
    elif before is not None and after is not None:
        yield from _differences(field, before, after)


def _name(member: Any) -> Any:
    return (
        next((member[each] for each in _NAMES if each in member), None) if isinstance(member, dict) else None
    )
