"""Device profiles of the site's own: YAML files that bus-reader checks, keeps and reads models from at once."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response

from ccm_api.deps import AdminDep, AuditDep, CommandIdDep, SiteDep, ViewerDep, command
from ccm_api.problems import FieldProblem, ProblemError, invalid
from ccm_api.sections import changed_meanwhile
from ccm_contracts.types import Slug
from ccm_contracts.verb_table import PROFILE_PUT, PROFILE_REMOVE, PROFILES
from ccm_contracts.verbs.profiles import (
    LARGEST_PROFILE,
    ProfileInfo,
    ProfileList,
    ProfilePut,
    ProfileQuery,
    ProfileRemove,
)

router = APIRouter(prefix="/profiles", tags=["catalog"])

IfMatch = Annotated[str | None, Header(max_length=80)]
_YAML: Final = "application/yaml"
_EXAMPLE: Final = """brand: acme
brand_name: Acme
type: meter
class: three-phase
series: X
source: "Acme X-series Modbus protocol V1.4, https://acme.example/x.pdf"
protocol: [modbus-rtu]
defaults: {function: 3, type: u16, poll: fast}
points:
  - {metric: v1, address: 0, scale: 0.1}
models:
  - {id: x3, model: X-3}
"""
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {_YAML: {"schema": {"type": "string", "maxLength": LARGEST_PROFILE}, "example": _EXAMPLE}},
    }
}
_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file", "content": {_YAML: {"schema": {"type": "string"}}}}
}


@router.get("", summary="The site's own device profiles")
async def profiles(site: SiteDep, who: ViewerDep) -> ProfileList:
    """Uploaded ones have a `name`, files that were laid into the folder by hand have none. A file with a `fault` is
    left out.
    """
    return await site.bus.call(PROFILES, ProfileQuery(), issued_by=f"api:{who.name}")


@router.get("/{name}", summary="One profile as it was sent", responses=_TEXT, response_class=Response)
async def one_profile(name: Slug, site: SiteDep, who: ViewerDep) -> Response:
    """Its `ETag` is what `PUT` and `DELETE` want in `If-Match`."""
    found = await site.bus.call(PROFILES, ProfileQuery(name=name), issued_by=f"api:{who.name}")
    return Response(found.text or "", media_type=_YAML, headers={"etag": f'"{found.profiles[0].tag}"'})


@router.put("/{name}", summary="Send a device profile", openapi_extra=_BODY, response_model=ProfileInfo)
async def put_profile(
    name: Slug,
    request: Request,
    site: SiteDep,
    who: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
    override: Annotated[
        bool, Query(description="Its models may be used in place of built-in ones of the same name.")
    ] = False,
) -> Response:
    """The YAML file itself as the body, at most 256 KiB. It is checked like the built-in ones; 422 names line and field
    of each fault, and then nothing is stored. Its models can be read at once, without a restart.

    A name that is new needs no `If-Match`; to replace a profile, send its `ETag`.
    """
    tag = if_match.strip().strip('"') if if_match else None
    args = ProfilePut(name=name, text=_text(await request.body()), tag=tag, override=override)
    try:
        done = await command(site, PROFILE_PUT, args, who=who, command_id=None)
    except ProblemError as err:
        raise _refusal(err) from err
    if done.profile is None:
        raise _faulty([(each.line, each.field, each.message) for each in done.faults])
    models = ", ".join(done.profile.models)
    audit.note("profile-stored", f"stored the device profile {name}: {models}", profile=name, models=models)
    return Response(
        done.profile.model_dump_json(),
        status_code=200 if tag else 201,
        media_type="application/json",
        headers={"etag": f'"{done.profile.tag}"'},
    )


@router.delete("/{name}", summary="Remove a device profile", status_code=204)
async def remove_profile(
    name: Slug,
    site: SiteDep,
    who: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
    command_id: CommandIdDep = None,
) -> None:
    """409 `in-use` while a device needs it. A built-in model that it stood in for is used again."""
    if if_match is None:
        raise ProblemError(428, "precondition-required", "send the profile's ETag in If-Match")
    args = ProfileRemove(name=name, tag=if_match.strip().strip('"')[:64])
    try:
        await command(site, PROFILE_REMOVE, args, who=who, command_id=command_id)
    except ProblemError as err:
        raise _refusal(err) from err
    audit.note("profile-removed", f"removed the device profile {name}", profile=name)


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise invalid("body", "is not UTF-8 text") from err
    if not text.strip():
        raise invalid("body", "is empty: send the YAML file")
    if len(text) > LARGEST_PROFILE:
        raise invalid("body", f"has {len(text)} characters; a profile has at most {LARGEST_PROFILE}")
    return text


def _faulty(faults: list[tuple[int, str, str]]) -> ProblemError:
    errors = [FieldProblem(field=field, message=f"line {line}: {text}") for line, field, text in faults]
    line, field, text = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = f"line {line}: {field}: " if field else f"line {line}: "
    return ProblemError(422, "invalid", f"{where}{text}{more}", errors=errors)


def _refusal(err: ProblemError) -> ProblemError:
    """What the owner says of tags, as HTTP says it."""
    if err.code == "changed-meanwhile":
        return changed_meanwhile("the profile")
    if err.code == "profile-exists":
        return ProblemError(428, "precondition-required", f"{err.message}: send its ETag in If-Match")
    return err
