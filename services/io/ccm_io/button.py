"""What a press of the multi-function button means (manual sections 4, 6.2.1.2.1 and 6.3.2). Pure."""

from typing import Final, Literal

Action = Literal["access-point", "synchronisation", "factory-reset", "none"]

SHORT_S: Final = 2.0
"""Shorter than this: a short press."""
SYNCHRONISATION_S: Final = 5.0
RESET_S: Final = 10.0

MEANING: Final[dict[Action, str]] = {
    "access-point": "re-enable the access point",
    "synchronisation": "enter or leave synchronisation mode",
    "factory-reset": "factory reset",
    "none": "nothing: between 5 and 10 s a press has no meaning",
}


def action_of(duration_s: float) -> Action:
    """Of a press held for `duration_s` seconds."""
    if duration_s < SHORT_S:
        return "access-point"
    if duration_s <= SYNCHRONISATION_S:
        return "synchronisation"
    return "factory-reset" if duration_s >= RESET_S else "none"
