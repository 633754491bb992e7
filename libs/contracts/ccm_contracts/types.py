"""The small types that every message and every configuration section uses: slugs, timestamps, secrets.

Secrets never leave a process readable by accident: they serialise as `********` unless the caller passes a
serialisation context that says otherwise (`{"seal": f}` to encrypt for storage).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    SerializationInfo,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

MASK = "********"
"""What a secret reads back as; sent back, it means "unchanged"."""

SEALED_PREFIX = "enc:v1:"
"""Marks a secret that was encrypted for storage."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
"""An id that is safe in a NATS subject, a file name and a URL."""

Direction = Literal["normal", "reversed"]
"""How a meter is mounted: `reversed` counts as exported what is imported."""

Serial = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
"""A gateway's serial number, the `{gw}` of every subject."""


EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9998, 12, 31, tzinfo=UTC)
"""Beyond these, the clock of a place or the end of a month may be no date that Python can hold."""


def _to_utc_ms(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, such as the Z of 2026-05-01T12:00:00.000Z")
    year = moment.year
    if EARLIEST.year <= year <= LATEST.year:  # another year is no date in all zones
        moment = moment.astimezone(UTC)
    if not EARLIEST.year < year < LATEST.year and not (moment.tzinfo is UTC and EARLIEST <= moment <= LATEST):
        raise ValueError("must be of the years 1900 to 9998")
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


_UTC_OFFSET = "+00:00"


def format_ts(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-05-01T12:00:00.000Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix(_UTC_OFFSET) + "Z"


Timestamp = Annotated[
    datetime,
    AfterValidator(_to_utc_ms),
    PlainSerializer(format_ts, return_type=str, when_used="json"),
]
"""An aware moment, cut to milliseconds, in UTC; on the wire as `format_ts` writes it."""


def _within(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else min(max(moment, EARLIEST), LATEST)


Border = Annotated[
    datetime,
    AfterValidator(_within),
    AfterValidator(_to_utc_ms),
    PlainSerializer(format_ts, return_type=str, when_used="json"),
]
"""A `Timestamp` that begins or ends a range: the year 1 or 9999 means "all that there is"."""


class Secret:
    """A text that is never shown: its `repr`, its `str` and its default JSON form are the mask."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    @property
    def is_mask(self) -> bool:
        """Whether a client sent the mask back, which means "leave the stored one unchanged"."""
        return self._text == MASK

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _validate(cls, value: "str | Secret", info: ValidationInfo) -> "Secret":
        if isinstance(value, Secret):
            return value
        unseal: Callable[[str], str] | None = (info.context or {}).get("unseal")
        if unseal is not None and value.startswith(SEALED_PREFIX):
            return cls(unseal(value))
        return cls(value)

    @staticmethod
    def _serialise(value: "Secret", info: SerializationInfo) -> str:
        if not value:
            return ""
        seal: Callable[[str], str] | None = (info.context or {}).get("seal")
        return seal(value.reveal()) if seal is not None else MASK

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(max_length=20_000)
        either = core_schema.json_or_python_schema(
            text, core_schema.union_schema([core_schema.is_instance_schema(cls), text])
        )
        return core_schema.with_info_after_validator_function(
            cls._validate,
            either,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls._serialise, info_arg=True, return_schema=core_schema.str_schema()
            ),
        )


class Frozen(BaseModel):
    """Base of all models: immutable, unknown fields ignored, so that old and new services run together."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, ser_json_inf_nan="null")


Finite = Annotated[float, Field(allow_inf_nan=False)]
