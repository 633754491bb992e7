"""What comes over the bus becomes a message of its channel, or is refused with the field at fault. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from ccm_contracts.channels import Channel
from ccm_kit.errors import CcmError
from ccm_kit.problems import field_text, problems_in

_NONE: Final[dict[str, Any]] = {}
SAYS: Final = {"gw": "gateway", "device": "device", "plant": "plant", "source": "source"}
"""The field of a message for each token of its subject."""


class NotParsedError(Exception):
    """The text says why, for the operator."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


def not_valid(err: ValidationError) -> NotParsedError:
    """The first of its problems."""
    loc, reason = problems_in(err)[0]
    return NotParsedError(reason, field_text(loc) or None)


def parsed(
    channels: Sequence[Channel[Any]], subject: str, data: bytes, context: dict[str, Any] | None = None
) -> tuple[Channel[Any], Any, dict[str, str]]:
    """The channel that the subject belongs to, the message, and the subject's ids. Raises `NotParsedError`."""
    channel, ids = channel_of(channels, subject)
    return channel, checked(channel, data, ids, context), ids


def channel_of(channels: Sequence[Channel[Any]], subject: str) -> tuple[Channel[Any], dict[str, str]]:
    """Raises `NotParsedError`."""
    for channel in channels:
        ids = channel.parse(subject)
        if ids is not None:
            return channel, ids
    raise NotParsedError("no channel has this subject")


def checked(
    channel: Channel[Any], data: bytes, ids: dict[str, str], context: dict[str, Any] | None = None
) -> Any:
    """The message; raises `NotParsedError` when it breaks its model or says other ids than its subject."""
    try:
        message = channel.adapter.validator.validate_json(data, context=context)
    except ValidationError as err:
        raise not_valid(err) from err
    except CcmError as err:
        raise NotParsedError(err.message, err.field) from err
    _check_ids(message, ids)
    return message


def _check_ids(message: Any, ids: dict[str, str]) -> None:
    """What a message says of itself must be what its subject says."""
    facts: dict[str, Any] = getattr(
        message, "__dict__", _NONE
    )  # a pydantic model is slow to say what it lacks
    for token, value in ids.items():
        attribute = SAYS.get(token)
        own = facts.get(attribute, value) if attribute is not None else value
        if own != value and isinstance(own, str):
            raise NotParsedError(f"says {attribute} {own!r} on the subject of {value!r}", attribute)
