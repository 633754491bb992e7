"""Searches for devices on a line: begin, look, end. `bus-reader` carries them out."""

from fastapi import APIRouter

from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, Site, SiteDep, ViewerDep, command
from ccm_api.problems import ProblemError, not_found
from ccm_api.shapes import ScanBody
from ccm_contracts.channels import SCAN_CANCEL, SCAN_START
from ccm_contracts.scan_state import ScanState
from ccm_contracts.verbs.bus_reader import ScanCancel, ScanRequest

router = APIRouter(prefix="/ports/{port}/scan", tags=["ports"])


@router.post("", summary="Look for devices on a line", status_code=202)
async def start_scan(
    port: str,
    site: SiteDep,
    who: OperatorDep,
    audit: AuditDep,
    body: ScanBody | None = None,
    command_id: CommandIdDep = None,
) -> ScanState:
    """Rates, formats and units in turn, the likely ones first; the line's devices are read meanwhile, more slowly.
    Without a body: a quick search.

    A Modbus TCP host is a line once a device is configured there; before that, `ccmaster scan --port tcp://HOST:502`
    searches it.

    409 `scan-running` while one runs on this line, `sync-running` in synchronisation mode. Follow it with `GET`, or on
    the stream: topic `state`, kind `scan`.
    """
    _check(site, port)
    body = body or ScanBody(baudrates=[], formats=[])
    args = ScanRequest(line=port, **body.model_dump())
    state = await command(site, SCAN_START, args, who=who, command_id=command_id)
    audit.note("scan-started", f"started a {body.depth} search on {port}", port=port, depth=body.depth)
    return state


@router.get("", summary="A search and what it found")
async def one_scan(port: str, site: SiteDep, _: ViewerDep) -> ScanState:
    """The running search, or the last one. 404 `no-scan` before the first."""
    _check(site, port)
    state = site.live.scans.get(port)
    if state is None:
        raise ProblemError(404, "no-scan", f"nobody has searched {port} yet")
    return state


@router.delete("", summary="End a search")
async def cancel_scan(
    port: str, site: SiteDep, who: OperatorDep, audit: AuditDep, command_id: CommandIdDep = None
) -> ScanState:
    """What was found so far is kept. 409 `no-scan` when none runs."""
    _check(site, port)
    state = await command(site, SCAN_CANCEL, ScanCancel(line=port), who=who, command_id=command_id)
    audit.note("scan-cancelled", f"ended the search on {port}", port=port)
    return state


def _check(site: Site, port: str) -> None:
    document = site.document
    lines = {each.id for each in document.ports} | {device.line for device in document.devices}
    if port not in lines:
        raise not_found("port", port)
