"""A search for devices on a line, kept in the key-value bucket `ccm_state` under `{gw}.scan.{line}`."""

from typing import Annotated, Literal

from pydantic import Field

from ccm_contracts.types import Finite, Frozen, Slug, Timestamp

ScanStatus = Literal["running", "done", "cancelled", "failed"]
FoundKind = Literal["device", "unknown", "conflict"]
Confidence = Literal["certain", "likely", "possible"]


class LineSetting(Frozen):
    """Parameters of a serial line; `baudrate` 0 on a network connection, which has none."""

    baudrate: int = 0
    format: str = ""


class Candidate(Frozen):
    """A model that a device may be. `likely`: its values are plausible; `possible`: several models look so."""

    model: str
    name: str
    confidence: Confidence


class FoundDevice(Frozen):
    """Somebody answers at `unit` with `setting`.

    device: recognised, best candidate first. unknown: it answers, and no profile fits. conflict: only garbled replies
    come, while other units are fine: two devices have this unit.
    """

    unit: int
    setting: LineSetting
    kind: FoundKind
    candidates: Annotated[list[Candidate], Field(max_length=8)] = []
    serial: str | None = None
    firmware: str | None = None
    maker: str | None = None
    """Manufacturer and model in its own words (SunSpec common model)."""
    answered: Annotated[str, Field(max_length=300)] = ""
    """What it said to the first question."""
    response_ms: Finite | None = None
    device: Slug | None = None
    """The configured device that is read there already."""


class ScanState(Frozen):
    """A search for devices on one line: progress while it runs, its results afterwards."""

    line: Slug
    host: str | None = None
    """Of a search on the line `host`: where."""
    tcp_port: int | None = None
    status: ScanStatus
    depth: Literal["quick", "full"]
    started: Timestamp
    ts: Timestamp
    percent: Annotated[Finite, Field(ge=0, le=100)] = 0.0
    left_s: Finite | None = None
    """Estimate of the time that is left."""
    setting: LineSetting | None = None
    """What is being tried."""
    unit: int | None = None
    asked: int = 0
    total: int = 0
    """Questions asked so far, and in all."""
    found: Annotated[list[FoundDevice], Field(max_length=250)] = []
    error: str | None = None
