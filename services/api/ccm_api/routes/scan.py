"""Searches for devices on a line: begin, look, end. `bus-reader` carries them out."""

from fastapi import APIRouter

from ccm_api.accounts import Identity
from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, Site, SiteDep, ViewerDep, command
from ccm_api.problems import ProblemError, invalid, not_found
from ccm_api.shapes import ScanBody
from ccm_contracts.scan_state import ScanState
from ccm_contracts.verb_table import SCAN_CANCEL, SCAN_START
from ccm_contracts.verbs.bus_reader import HOST_LINE, ScanCancel, ScanRequest

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

    A Modbus TCP host without a device in the configuration is searched as the port `host`, one at a time, with its name
    or address in the body; this needs the role admin. Where devices are read already, search their line.

    409 `scan-running` while one runs on this line, `sync-running` in synchronisation mode. Follow it with `GET`, or on
    the stream: topic `state`, kind `scan`.
    """
    body = body or ScanBody(baudrates=[], formats=[])
    where = _check_place(site, port, body, who)
    args = ScanRequest(line=port, **body.model_dump())
    state = await command(site, SCAN_START, args, who=who, command_id=command_id)
    site.live.told(state)
    audit.note("scan-started", f"started a {body.depth} search on {where}", port=port, depth=body.depth)
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
    site.live.told(state)
    audit.note("scan-cancelled", f"ended the search on {port}", port=port)
    return state


def _check_place(site: Site, port: str, body: ScanBody, who: Identity) -> str:
    """Where it is searched, for people."""
    if port in _lines(site):
        if body.host is not None:
            raise invalid("host", f"is for /ports/{HOST_LINE}/scan; {port} is a line of the configuration")
        return port
    if port != HOST_LINE:
        raise not_found("port", port)
    if body.host is None:
        raise invalid("host", "is missing: the name or address of the Modbus TCP host to search")
    if not who.may("admin"):
        raise ProblemError(403, "forbidden", "a search of a host on the network needs the role admin")
    return f"{body.host}:{body.tcp_port}"


def _check(site: Site, port: str) -> None:
    if port != HOST_LINE and port not in _lines(site):
        raise not_found("port", port)


def _lines(site: Site) -> set[str]:
    document = site.document
    return {each.id for each in document.ports} | {device.line for device in document.devices}
