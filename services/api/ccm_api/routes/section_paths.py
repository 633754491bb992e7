"""Sections of the configuration under the portal's menu names: same body, same ETag, same rights as `/config`."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from ccm_api.deps import AdminDep, AuditDep, SiteDep
from ccm_api.routes import config
from ccm_api.routes.config import IfMatch


@dataclass(frozen=True, slots=True)
class SectionPath:
    """Where a section is served too, and what its documentation says: titles and texts of `GET` and `PUT`."""

    path: str
    section: str
    model: Any
    read: tuple[str, str]
    change: tuple[str, str]
    example: Any


def serve(router: APIRouter, place: SectionPath) -> None:
    """Add its two routes."""
    section = place.section

    async def one(site: SiteDep, who: AdminDep) -> Response:
        return await config.one_section(section, site, who)

    async def change(
        body: Annotated[Any, Body(examples=[place.example])],
        site: SiteDep,
        who: AdminDep,
        audit: AuditDep,
        if_match: IfMatch = None,
    ) -> Response:
        return await config.replace_section(section, body, site, who, audit, if_match)

    for method, endpoint, (summary, text), name in (
        ("GET", one, place.read, f"{section}_settings"),
        ("PUT", change, place.change, f"change_{section}"),
    ):
        router.add_api_route(
            place.path,
            endpoint,
            methods=[method],
            response_model=place.model,
            summary=summary,
            description=text,
            name=name,
        )
