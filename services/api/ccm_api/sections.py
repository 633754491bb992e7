"""Sections of the configuration as a client sends them: checked, compared with what is stored, and stored.

Knows no HTTP beyond the problems that it raises.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from ccm_api.deps import Site
from ccm_api.masks import kept
from ccm_api.models import problems_of_models
from ccm_api.passwords import PREFIX
from ccm_api.problems import FieldProblem, ProblemError, invalid, not_found
from ccm_api.shapes import PASSWORD_MIN
from ccm_contracts.config.document import SECTIONS, problems_of
from ccm_contracts.config.site import Gateway, Security, User
from ccm_contracts.types import Secret
from ccm_kit.config_watch import Snapshot
from ccm_kit.errors import RefusedError
from ccm_kit.problems import field_text, problems_in

ORDER: Final = tuple(SECTIONS)
"""What others name comes first: ports, devices, plants."""


def known(section: str) -> None:
    if section not in SECTIONS:
        raise not_found("section", section)


def etag_of(revision: int) -> str:
    return f'"{revision}"'


def must_match(if_match: str | None, current: int, what: str = "the section") -> None:
    """Raises 428 without `If-Match`, 412 for a tag that is not the present one."""
    if if_match is None:
        raise ProblemError(428, "precondition-required", f"send {what}'s ETag in If-Match")
    if if_match.strip() not in ("*", etag_of(current)):
        raise changed_meanwhile(what)


def changed_meanwhile(what: str = "the section") -> ProblemError:
    return ProblemError(412, "precondition-failed", f"{what} was changed meanwhile: read it again")


def shown(snapshot: Snapshot, section: str) -> Any:
    """As a client sees it: secrets masked."""
    return SECTIONS[section].dump_python(getattr(snapshot.document, section), mode="json", by_alias=True)


def parsed(section: str, body: Any) -> Any:
    """The section's model. Raises `ProblemError` with every field at fault."""
    try:
        return SECTIONS[section].validate_python(body, extra="forbid")
    except ValidationError as err:
        errors = [
            FieldProblem(field=field_text((section, *loc)), message=message)
            for loc, message in problems_in(err)
        ]
        raise wrong(errors) from err


def wrong(errors: list[FieldProblem]) -> ProblemError:
    detail = f"{errors[0].field}: {errors[0].message}"
    return ProblemError(422, "invalid", detail, errors=errors)


async def wanted(site: Site, snapshot: Snapshot, bodies: Mapping[str, Any]) -> dict[str, Any]:
    """The values to store: parsed, their masked secrets filled in, sound together, new passwords hashed.

    Raises `ProblemError` with every field at fault; nothing was stored then.
    """
    values: dict[str, Any] = {}
    errors: list[FieldProblem] = []
    for section in (each for each in ORDER if each in bodies):
        try:
            value = parsed(section, bodies[section])
            values[section] = kept(value, getattr(snapshot.document, section), (section,))
        except ProblemError as err:
            errors += err.errors
    if errors:
        raise wrong(errors)
    await _check(site, snapshot, values)
    if "security" in values:
        values["security"] = await _hashed(site, values["security"])
    return values


async def store(site: Site, snapshot: Snapshot, values: Mapping[str, Any]) -> dict[str, int]:
    """Write each section against the revision of `snapshot`; their new revisions.

    All or none: when somebody was faster with one of them, those written before it get their old value back. Raises
    412 then, and 503 while the bus is away (what was written before stays: the same request may be sent again).
    """
    written: dict[str, int] = {}
    for section, value in values.items():
        revision = snapshot.revisions.get(section, 0)
        try:
            stored = await site.bus.write_config(section, value, seal=site.box.seal, revision=revision)
        except RefusedError as err:
            await _undo(site, snapshot, written)
            raise changed_meanwhile() from err
        written[section] = stored
        await site.live.applied(section, stored)
    return written


async def _undo(site: Site, snapshot: Snapshot, written: Mapping[str, int]) -> None:
    for section, revision in reversed(list(written.items())):
        value = getattr(snapshot.document, section)
        try:
            stored = await site.bus.write_config(section, value, seal=site.box.seal, revision=revision)
        except RefusedError:  # somebody has changed it since: theirs stands
            continue
        await site.live.applied(section, stored)


async def _check(site: Site, snapshot: Snapshot, values: Mapping[str, Any]) -> None:
    """Raises for what would not hold between sections any more; what did not hold before is no new problem."""
    old = {(problem.field, problem.message) for problem in problems_of(snapshot.document)}
    changed = snapshot.document.model_copy(update=dict(values))
    found = [each for each in problems_of(changed) if (each.field, each.message) not in old]
    found = found or await problems_of_models(site, snapshot.document, changed)
    if found:
        raise wrong([FieldProblem(field=each.field, message=each.message) for each in found])
    gateway, security = values.get("gateway"), values.get("security")
    if isinstance(gateway, Gateway) and gateway.serial != site.bus.gateway:
        raise invalid("gateway.serial", f"this gateway is {site.bus.gateway}; its serial number stays")
    if isinstance(security, Security):
        _check_users(security)


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
