"""What a configuration would change, as the API tells it."""

from typing import Literal

from pydantic import JsonValue

from ccm_contracts.types import Frozen


class ConfigChange(Frozen):
    """One field, or one member of a list, that is not as it was; secrets are masked.

    `field` goes by the ids or names of members: `devices.roof.poll_s`.
    """

    field: str
    kind: Literal["added", "removed", "changed", "reordered"]
    before: JsonValue = None
    after: JsonValue = None


class ConfigPreview(Frozen):
    """What a configuration would change; at most 1000 changes are told."""

    changes: list[ConfigChange]
