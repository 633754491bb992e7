"""The REST resources, one file each; `ROUTERS` is the order in which the reference lists them."""

from typing import Final

from fastapi import APIRouter

from ccm_api.routes import (
    button,
    catalog,
    config,
    delivery,
    device_changes,
    devices,
    diagnostics,
    events,
    ftp,
    health,
    history,
    info,
    metrics,
    outputs,
    plants,
    ports,
    profiles,
    reference,
    scan,
    services,
    session,
    settings,
    stream,
    sync,
)

ROUTERS: Final[tuple[APIRouter, ...]] = tuple(
    module.router
    for module in (
        session,
        info,
        devices,
        device_changes,
        catalog,
        profiles,
        ports,
        scan,
        sync,
        diagnostics,
        plants,
        outputs,
        button,
        history,
        events,
        delivery,
        stream,
        config,
        services,
        settings,
        ftp,
        health,
        metrics,
        reference,
    )
)
