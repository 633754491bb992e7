"""When a value is too old to be called good: pure, so that every resource judges alike."""

from datetime import datetime
from typing import Final

from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Quality
from ccm_contracts.state import ServiceState

STALE_POLLS: Final = 3.0
STALE_AT_LEAST_S: Final = 10.0
"""Stale: older than three polls, but never before 10 s (design page, section 8)."""
SERVICE_STALE_S: Final = 15.0
"""Three announcements of a service."""


def age_s(ts: datetime, now: datetime) -> float:
    """Seconds, to the millisecond; 0 for a stamp of the future."""
    return round(max(0.0, (now - ts).total_seconds()), 3)


def limit_s(poll_s: float) -> float:
    return max(STALE_POLLS * poll_s, STALE_AT_LEAST_S)


def quality_of(quality: Quality, *, age: float, limit: float) -> Quality:
    """What was good when it was read, or `stale` when that is too long ago; `bad` stays."""
    return "stale" if quality == "good" and age > limit else quality


def plant_limit_s(plant: Plant, document: Document) -> float:
    """A plant is as slow as the slowest of its devices."""
    members = {*plant.production, *plant.grid, *plant.battery}
    return max((limit_s(device.poll_s) for device in document.devices if device.id in members), default=0.0)


def is_service_stale(service: ServiceState, now: datetime) -> bool:
    return (now - service.ts).total_seconds() > SERVICE_STALE_S
