"""Puts stored secrets back where a client sent their mask, which means "unchanged"."""

from typing import Any

from pydantic import BaseModel

from ccm_api.problems import invalid
from ccm_contracts.types import Secret
from ccm_kit.problems import Loc, field_text

_NAMES = ("id", "name")
"""What tells the members of a list apart, so that a secret stays with its owner when the order changes."""


def kept(new: Any, old: Any, loc: Loc) -> Any:
    """`new` with each masked secret taken from `old`. Raises `ProblemError` where `old` has none."""
    if isinstance(new, Secret):
        return _secret(new, old, loc)
    if isinstance(new, BaseModel):
        changes = {
            name: kept(getattr(new, name), getattr(old, name, None), (*loc, field.alias or name))
            for name, field in type(new).model_fields.items()
        }
        return new.model_copy(update=changes)
    if isinstance(new, list):
        return [kept(each, _same(each, old), (*loc, index)) for index, each in enumerate(new)]
    return new


def _secret(new: Secret, old: Any, loc: Loc) -> Secret:
    if not new.is_mask:
        return new
    if isinstance(old, Secret) and old:
        return old
    raise invalid(field_text(loc), "is masked, but no value is stored: send the value")


def _same(member: Any, old: Any) -> Any:
    name = _name(member)
    if name is None or not isinstance(old, list):
        return None
    return next((each for each in old if _name(each) == name), None)


def _name(member: Any) -> Any:
    return next((getattr(member, each) for each in _NAMES if hasattr(member, each)), None)
