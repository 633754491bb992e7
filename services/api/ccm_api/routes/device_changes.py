"""Adding, changing and removing one device: changes of the section `devices`, against its ETag."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Response

from ccm_api.deps import AdminDep, AuditDep, Site, SiteDep
from ccm_api.problems import FieldProblem, ProblemError, invalid, not_found
from ccm_api.routes.config import IfMatch
from ccm_api.sections import etag_of, must_match, parsed, store, wanted
from ccm_contracts.config.document import SECTIONS
from ccm_contracts.config.field import Device
from ccm_kit.config_watch import Snapshot

router = APIRouter(prefix="/devices", tags=["devices"])

TRIES: Final = 5
"""To add a device while others change the section."""
_MEDIA: Final = "application/json"
_NEW: Final = {"id": "roof", "port": "ext", "model": "goodwe/dns", "unit": 100, "alias": "Roof", "poll_s": 1}
_PATCH: Final = {"alias": "Roof, south", "poll_s": 5}


@router.post("", summary="Add a device", status_code=201, response_model=Device)
async def add_device(
    body: Annotated[Any, Body(examples=[_NEW])],
    site: SiteDep,
    _: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """A device of the configuration, as in the section `devices`: at a `port`, or at a `host` of its own. It is read at
    once. `If-Match` (the ETag of `/devices`) may be left out: nobody else's change is lost.

    What it costs its line beforehand: `POST /ports/{port}/budget`.
    """
    for attempt in range(1, TRIES + 1):
        snapshot = site.snapshot
        there = snapshot.document.devices
        if if_match is not None:
            must_match(if_match, _revision(snapshot), "the devices")
        device = _one(body)
        if any(each.id == device.id for each in there):
            raise invalid("id", f"there is a device {device.id} already")
        try:
            revision = await _stored(site, snapshot, [*there, device], len(there))
            break
        except ProblemError as err:
            if err.status != 412 or if_match is not None or attempt == TRIES:
                raise
    audit.note("config-changed", f"added {device.id}: {device.model}", section="devices", device=device.id)
    answer = _answer(device, revision, 201)
    answer.headers["location"] = f"/api/v1/devices/{device.id}"
    return answer


@router.patch("/{device}", summary="Change a device", response_model=Device)
async def change_device(
    device: str,
    body: Annotated[dict[str, Any], Body(examples=[_PATCH])],
    site: SiteDep,
    _: AdminDep,
    audit: AuditDep,
    if_match: IfMatch = None,
) -> Response:
    """The fields that are sent; all others stay. The `id` stays: stored values belong to it."""
    snapshot = site.snapshot
    at = _place(snapshot, device)
    must_match(if_match, _revision(snapshot), "the devices")
    devices = list(snapshot.document.devices)
    if body.get("id", device) != device:
        raise invalid("id", "stays, for stored values belong to it: add another device instead")
    devices[at] = _one(devices[at].model_dump(mode="json", by_alias=True) | body)
    revision = await _stored(site, snapshot, devices, at)
    audit.note("config-changed", f"changed {device}", section="devices", device=device, fields=sorted(body))
    return _answer(devices[at], revision, 200)


@router.delete("/{device}", summary="Remove a device", status_code=204)
async def remove_device(
    device: str, site: SiteDep, _: AdminDep, audit: AuditDep, if_match: IfMatch = None
) -> None:
    """It is read no more; what was stored of it stays. 422 while a plant or another device needs it."""
    snapshot = site.snapshot
    at = _place(snapshot, device)
    must_match(if_match, _revision(snapshot), "the devices")
    devices = [each for each in snapshot.document.devices if each.id != device]
    await _stored(site, snapshot, devices, at)
    audit.note("config-changed", f"removed {device}", section="devices", device=device)


def _revision(snapshot: Snapshot) -> int:
    return snapshot.revisions.get("devices", 0)


def _place(snapshot: Snapshot, device: str) -> int:
    for at, each in enumerate(snapshot.document.devices):
        if each.id == device:
            return at
    raise not_found("device", device)


def _one(body: Any) -> Device:
    """The device, its faults told as fields of its own."""
    try:
        (device,) = parsed("devices", [body])
    except ProblemError as err:
        raise _own(err, 0) from err
    assert isinstance(device, Device)
    return device


async def _stored(site: Site, snapshot: Snapshot, devices: list[Device], at: int) -> int:
    try:
        values = await _wanted(site, snapshot, devices)
    except ProblemError as err:
        raise await _blamed(err, site, snapshot, devices, at) from err
    return (await store(site, snapshot, values))["devices"]


async def _wanted(site: Site, snapshot: Snapshot, devices: list[Device]) -> dict[str, Any]:
    body = SECTIONS["devices"].dump_python(devices, mode="json", by_alias=True)
    return await wanted(site, snapshot, {"devices": body})


async def _blamed(
    err: ProblemError, site: Site, snapshot: Snapshot, devices: list[Device], at: int
) -> ProblemError:
    """The fault as one of the device that was changed: two that collide are told at the later one."""
    last = [*devices[:at], *devices[at + 1 :], devices[at]]
    try:
        await _wanted(site, snapshot, last)
    except ProblemError as again:
        if again.errors[0].field.startswith(f"devices[{len(last) - 1}]"):
            return _own(again, len(last) - 1)
    return _own(err, at)


def _own(err: ProblemError, at: int) -> ProblemError:
    """`devices[3].unit` as `unit`, where the fault is the device's that the request is about."""
    own = f"devices[{at}]"
    errors = [
        FieldProblem(field=each.field.removeprefix(own).removeprefix("."), message=each.message)
        for each in err.errors
    ]
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return ProblemError(err.status, err.code, detail, errors=errors)


def _answer(device: Device, revision: int, status: int) -> Response:
    return Response(
        device.model_dump_json(by_alias=True),
        status_code=status,
        media_type=_MEDIA,
        headers={"etag": etag_of(revision)},
    )
