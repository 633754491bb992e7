"""Profiles as other modules and the command line use them: types, where they come from, how they are shown."""

from decimal import Decimal

from ccm_bus_reader.catalogue import Catalog, load_catalog
from ccm_bus_reader.family import profile_schema
from ccm_bus_reader.model import Limits, Probe, Profile, Serial, Timing
from ccm_bus_reader.point import Point, WritePoint, resolution_of
from ccm_bus_reader.profile_source import load_profile_file
from ccm_contracts.metrics import METRICS
from ccm_contracts.verbs.bus_reader import CatalogCommand, CatalogModel, CatalogPoint


def catalog_model(profile: Profile) -> CatalogModel:
    """The profile as `bus-reader.catalog` answers it."""
    return CatalogModel(
        id=profile.id,
        type=profile.type,
        brand=profile.brand,
        device_class=profile.device_class,
        series=profile.series,
        model=profile.model,
        protocol=profile.protocol,
        source=profile.source,
        native=profile.native,
        secondaries=profile.secondaries.most if profile.secondaries else 0,
        points=[
            CatalogPoint(
                metric=point.metric,
                unit=METRICS[point.metric].unit,
                poll=point.poll,
                resolution=_as_float(resolution_of(point)),
            )
            for point in profile.points
        ],
        commands=[
            CatalogCommand(
                name=command.name,
                label=command.label,
                unit=command.unit,
                minimum=float(command.minimum),
                maximum=float(command.maximum),
            )
            for command in profile.commands
        ],
    )


def _as_float(number: Decimal | None) -> float | None:
    return None if number is None else float(number)


__all__ = [
    "Catalog",
    "Limits",
    "Point",
    "Probe",
    "Profile",
    "Serial",
    "Timing",
    "WritePoint",
    "catalog_model",
    "load_catalog",
    "load_profile_file",
    "profile_schema",
    "resolution_of",
]
