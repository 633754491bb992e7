"""The configuration document, whole and section by section, with its revision as ETag. Secrets are never shown."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from ccm_api.changes import changes_between
from ccm_api.config_body import YAML, sections_in
from ccm_api.config_shapes import ConfigPreview
from ccm_api.deps import AdminDep, AuditDep, SiteDep
from ccm_api.sections import etag_of, known, must_match, shown, store, wanted
from ccm_contracts.config.document import SECTIONS, Document
from ccm_kit.config_watch import Snapshot

router = APIRouter(prefix="/config", tags=["configuration"])

IfMatch = Annotated[str | None, Header(max_length=40)]
_MEDIA: Final = "application/json"
_EXAMPLE: Final = {
    "ports": [{"id": "ext", "kind": "rs485", "path": "/dev/ttyUSB0"}],
    "devices": [{"id": "grid", "port": "ext", "model": "eastron/sdm630", "unit": 1}],
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _MEDIA: {"schema": {"type": "object"}, "example": _EXAMPLE},
            YAML: {"schema": {"type": "string"}, "example": "timezone: Europe/Madrid\n"},
        },
    }
}


@router.get("", summary="The whole configuration", response_model=Document)
async def document(site: SiteDep, _: AdminDep) -> Response:
    """Every section. Secrets read back as `********`. Its `ETag` is what `PUT` wants in `If-Match`."""
    return _whole(site.snapshot)


@router.put(
    "",
    summary="Replace the whole configuration",
    response_model=Document | ConfigPreview,
    openapi_extra=_BODY,
)
async def replace_document(
    request: Request,
    site: SiteDep,
    _: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
    preview: Annotated[
        bool, Query(description="Check it and tell what it would change; change nothing")
    ] = False,
) -> Response:
    """The shape that `GET` answers, as JSON or YAML. A section that is left out stays as it is, a secret sent as
    `********` too.

    All that is wrong is told at once, and then nothing is changed. What differs from before takes effect at once.
    """
    body = await sections_in(request)
    snapshot = site.snapshot
    must_match(if_match, _newest(snapshot), "the configuration")
    values = await wanted(
        site, snapshot, {name: each for name, each in body.items() if each != shown(snapshot, name)}
    )
    changed = {name: value for name, value in values.items() if value != getattr(snapshot.document, name)}
    if preview:
        after = snapshot.document.model_copy(update=changed)
        return _told(ConfigPreview(changes=changes_between(snapshot.document, after)), _newest(snapshot))
    revisions = await store(site, snapshot, changed)
    names = ", ".join(changed) or "nothing"
    audit.note("config-changed", f"replaced the configuration: {names} changed", sections=list(changed))
    return _whole(
        Snapshot(snapshot.document.model_copy(update=changed), {**snapshot.revisions, **revisions}),
    )


@router.get("/{section}", summary="One section", response_model=Any)
async def one_section(section: str, site: SiteDep, _: AdminDep) -> Response:
    """Its `ETag` is what `PUT` wants in `If-Match`."""
    known(section)
    snapshot = site.snapshot
    return _answer(section, getattr(snapshot.document, section), snapshot.revisions.get(section, 0))


@router.put("/{section}", summary="Replace one section", response_model=Any)
async def replace_section(
    section: str,
    body: Annotated[Any, Body(examples=[{"enabled": True, "host": "mqtts://broker.example", "port": 8883}])],
    site: SiteDep,
    _: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """A secret sent as `********` stays as it is. In `security`, a `password_hash` that is no Argon2id hash is a new
    password and is hashed. Takes effect at once, without a restart.
    """
    known(section)
    snapshot = site.snapshot
    must_match(if_match, snapshot.revisions.get(section, 0))
    values = await wanted(site, snapshot, {section: body})
    stored = (await store(site, snapshot, values))[section]
    audit.note("config-changed", f"changed the section {section}", section=section, revision=stored)
    return _answer(section, values[section], stored)


def _newest(snapshot: Snapshot) -> int:
    """Revisions count every write to the bucket, so that the newest one stands for all sections."""
    return max(snapshot.revisions.values(), default=0)


def _whole(snapshot: Snapshot) -> Response:
    content = {name: shown(snapshot, name) for name in SECTIONS}
    return JSONResponse(content, headers={"etag": etag_of(_newest(snapshot))})


def _told(preview: ConfigPreview, revision: int) -> Response:
    return Response(preview.model_dump_json(), media_type=_MEDIA, headers={"etag": etag_of(revision)})


def _answer(section: str, value: Any, revision: int) -> Response:
    content = SECTIONS[section].dump_json(value, by_alias=True)
    return Response(content, media_type=_MEDIA, headers={"etag": etag_of(revision)})
