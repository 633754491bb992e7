"""Settings under the portal's menu names: the sections of the configuration by another path, same body, same ETag."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from ccm_api.deps import AdminDep, AuditDep, SiteDep
from ccm_api.routes import config
from ccm_api.routes.config import IfMatch
from ccm_contracts.config.services import Historic
from ccm_contracts.config.site import Security, Timezone

router = APIRouter(prefix="/settings", tags=["configuration"])


@router.get("/security", summary="Who may sign in", response_model=Security)
async def security(site: SiteDep, who: AdminDep) -> Response:
    """Users and their roles; the hashes of their passwords read back as `********`."""
    return await config.one_section("security", site, who)


@router.put("/security", summary="Change who may sign in", response_model=Security)
async def change_security(
    body: Annotated[
        Any, Body(examples=[{"users": [{"name": "admin", "role": "admin", "password_hash": "********"}]}])
    ],
    site: SiteDep,
    who: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """A `password_hash` that is no Argon2id hash is a new password, and is hashed. `********` stays as it is. At least
    one administrator is needed.
    """
    return await config.replace_section("security", body, site, who, audit, if_match)


@router.get("/timezone", summary="The site's time zone", response_model=Timezone)
async def timezone(site: SiteDep, who: AdminDep) -> Response:
    """An IANA name. For days, months and times of day; stored times are UTC."""
    return await config.one_section("timezone", site, who)


@router.put("/timezone", summary="Change the time zone", response_model=Timezone)
async def change_timezone(
    body: Annotated[Any, Body(examples=["Europe/Madrid"])],
    site: SiteDep,
    who: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """Takes effect at once."""
    return await config.replace_section("timezone", body, site, who, audit, if_match)


@router.get("/historic", summary="What is kept, and for how long", response_model=Historic)
async def historic(site: SiteDep, who: AdminDep) -> Response:
    """The section `historic` of the configuration (manual section 6.2.1.6.3)."""
    return await config.one_section("historic", site, who)


@router.put("/historic", summary="Change what is kept", response_model=Historic)
async def change_historic(
    body: Annotated[Any, Body(examples=[{"enabled": True, "latency_s": 60, "format": "csv"}])],
    site: SiteDep,
    who: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """Takes effect at once."""
    return await config.replace_section("historic", body, site, who, audit, if_match)
