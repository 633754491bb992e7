"""The REST resources, one file each; `ROUTERS` is the order in which the reference lists them."""

from typing import Final

from fastapi import APIRouter

from ccm_api.routes import (
    button,
    catalog,
    config,
    delivery,
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
    reference,
    scan,
    services,
    session,
    stream,
    sync,
)

ROUTERS: Final[tuple[APIRouter, ...]] = tuple(
    module.router
    for module in (
        session,
        info,
        devices,
        catalog,
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
        ftp,
        health,
        metrics,
        reference,
    )
)
