"""The configuration document, section by section, with its revision as ETag. Secrets are never shown."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Response
from pydantic import ValidationError

from ccm_api.deps import AdminDep, AuditDep, Site, SiteDep
from ccm_api.masks import kept
from ccm_api.models import problems_of_models
from ccm_api.passwords import PREFIX
from ccm_api.problems import FieldProblem, ProblemError, invalid, not_found
from ccm_api.shapes import PASSWORD_MIN, StoredConfig
from ccm_contracts.config.document import SECTIONS, problems_of
from ccm_contracts.config.site import Gateway, Security, User
from ccm_contracts.types import Secret
from ccm_kit.config_watch import Snapshot
from ccm_kit.errors import RefusedError
from ccm_kit.problems import field_text, problems_in

router = APIRouter(prefix="/config", tags=["configuration"])

_MEDIA: Final = "application/json"


@router.get("", summary="The whole configuration")
async def document(site: SiteDep, _: AdminDep) -> StoredConfig:
    """Secrets read back as `********`. `revisions` has the ETag of each section that was ever written."""
    snapshot = site.snapshot
    sections = {name: _shown(snapshot, name) for name in SECTIONS}
    return StoredConfig(sections=sections, revisions=snapshot.revisions)


@router.get("/{section}", summary="One section", response_model=Any)
async def one_section(section: str, site: SiteDep, _: AdminDep) -> Response:
    """Its `ETag` is what `PUT` wants in `If-Match`."""
    _known(section)
    snapshot = site.snapshot
    return _answer(section, getattr(snapshot.document, section), snapshot.revisions.get(section, 0))


@router.put("/{section}", summary="Replace one section", response_model=Any)
async def replace_section(
    section: str,
    body: Annotated[Any, Body(examples=[{"enabled": True, "host": "mqtts://broker.example", "port": 8883}])],
    site: SiteDep,
    _: AdminDep,
    audit: AuditDep,
    if_match: Annotated[str | None, Header(max_length=40)] = None,
) -> Response:
    """A secret sent as `********` stays as it is. In `security`, a `password_hash` that is no Argon2id hash is a new
    password and is hashed. Takes effect at once, without a restart.
    """
    _known(section)
    snapshot = site.snapshot
    revision = _expected(if_match, snapshot.revisions.get(section, 0))
    value = kept(parsed(section, body), getattr(snapshot.document, section), (section,))
    await _check(site, snapshot, section, value)
    if isinstance(value, Security):
        value = await _hashed(site, value)
    try:
        stored = await site.bus.write_config(section, value, seal=site.box.seal, revision=revision)
    except RefusedError as err:
        raise _precondition() from err
    await site.live.applied(section, stored)
    audit.note("config-changed", f"changed the section {section}", section=section, revision=stored)
    return _answer(section, value, stored)


def _known(section: str) -> None:
    if section not in SECTIONS:
        raise not_found("section", section)


def _expected(if_match: str | None, current: int) -> int:
    if if_match is None:
        raise ProblemError(428, "precondition-required", "send the section's ETag in If-Match")
    if if_match.strip() not in ("*", _etag(current)):
        raise _precondition()
    return current


def _precondition() -> ProblemError:
    return ProblemError(412, "precondition-failed", "the section was changed meanwhile: read it again")


def parsed(section: str, body: Any) -> Any:
    """The section's model. Raises `ProblemError` with every field at fault."""
    try:
        return SECTIONS[section].validate_python(body, extra="forbid")
    except ValidationError as err:
        errors = [
            FieldProblem(field=field_text((section, *loc)), message=message)
            for loc, message in problems_in(err)
        ]
        detail = f"{errors[0].field}: {errors[0].message}"
        raise ProblemError(422, "invalid", detail, errors=errors) from err


async def _check(site: Site, snapshot: Snapshot, section: str, value: Any) -> None:
    """Raises for what would not hold between sections any more; what did not hold before is no new problem."""
    old = {(problem.field, problem.message) for problem in problems_of(snapshot.document)}
    changed = snapshot.document.model_copy(update={section: value})
    found = [each for each in problems_of(changed) if (each.field, each.message) not in old]
    found = found or await problems_of_models(site, snapshot.document, changed)
    if found:
        errors = [FieldProblem(field=each.field, message=each.message) for each in found]
        raise ProblemError(422, "invalid", f"{errors[0].field}: {errors[0].message}", errors=errors)
    if isinstance(value, Gateway) and value.serial != site.bus.gateway:
        raise invalid("gateway.serial", f"this gateway is {site.bus.gateway}; its serial number stays")
    if isinstance(value, Security):
        _check_users(value)


def _check_users(security: Security) -> None:
    names = [user.name for user in security.users]
    for index, user in enumerate(security.users):
        if user.name in names[:index]:
            raise invalid(f"security.users[{index}].name", "is used twice")
        if not _is_hashed(user) and len(user.password_hash.reveal()) < PASSWORD_MIN:
            raise invalid(
                f"security.users[{index}].password_hash", f"needs at least {PASSWORD_MIN} characters"
            )
    if not any(user.role == "admin" for user in security.users):
        raise invalid("security.users", "need at least one administrator")


async def _hashed(site: Site, security: Security) -> Security:
    users = []
    for user in security.users:
        if not _is_hashed(user):
            text = await site.accounts.passwords.hash(user.password_hash.reveal())
            user = user.model_copy(update={"password_hash": Secret(text)})
        users.append(user)
    return Security(users=users)


def _is_hashed(user: User) -> bool:
    return user.password_hash.reveal().startswith(PREFIX)


def _shown(snapshot: Snapshot, section: str) -> Any:
    return SECTIONS[section].dump_python(getattr(snapshot.document, section), mode="json", by_alias=True)


def _answer(section: str, value: Any, revision: int) -> Response:
    content = SECTIONS[section].dump_json(value, by_alias=True)
    return Response(content, media_type=_MEDIA, headers={"etag": _etag(revision)})


def _etag(revision: int) -> str:
    return f'"{revision}"'
