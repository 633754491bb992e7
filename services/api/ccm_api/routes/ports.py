"""Lines: the serial and TCP ports of the configuration, and the connections of devices with a host."""

from typing import Annotated

from fastapi import APIRouter, Query

from ccm_api.accounts import Identity
from ccm_api.deps import Site, SiteDep, ViewerDep
from ccm_api.problems import ProblemError, not_found
from ccm_api.shapes import PortList, PortStats, PortView
from ccm_contracts.config.field import Device, Port
from ccm_contracts.verb_table import ADAPTERS
from ccm_contracts.verbs.bus_reader import Adapter, AdaptersQuery
from ccm_kit.errors import UnavailableError

router = APIRouter(prefix="/ports", tags=["ports"])


@router.get("", summary="All lines")
async def ports(
    site: SiteDep,
    who: ViewerDep,
    adapters: Annotated[bool, Query(description="Name the host's serial adapters too")] = False,
) -> PortList:
    """Each line with its settings and whether it is open; with `adapters=true` what further lines could be made of."""
    return PortList(ports=_views(site), adapters=await _adapters(site, who) if adapters else None)


@router.get("/{port}", summary="One line")
async def one_port(port: str, site: SiteDep, _: ViewerDep) -> PortView:
    return view_of(site, port)


@router.get("/{port}/stats", summary="A line's health")
async def stats(port: str, site: SiteDep, _: ViewerDep) -> PortStats:
    """Counters of the last window, in all and per unit. 503 while bus-reader has not reported the line."""
    view_of(site, port)
    state = site.live.lines.get(port)
    if state is None:
        raise ProblemError(503, "no-stats", f"bus-reader has not reported {port} yet")
    return PortStats(port=state.line, **state.model_dump(exclude={"line"}))


def view_of(site: Site, port: str) -> PortView:
    """The line; 404 when there is none of that name."""
    for view in _views(site):
        if view.id == port:
            return view
    raise not_found("port", port)


async def _adapters(site: Site, who: Identity) -> list[Adapter] | None:
    try:
        return (await site.bus.call(ADAPTERS, AdaptersQuery(), issued_by=f"api:{who.name}")).adapters
    except UnavailableError:  # a line can be described without them
        return None


def _views(site: Site) -> list[PortView]:
    members: dict[str, list[Device]] = {}
    for device in site.document.devices:
        members.setdefault(device.line, []).append(device)
    views = [_serial(site, port, members.get(port.id, [])) for port in site.document.ports]
    views += [_connection(site, line, own) for line, own in members.items() if own[0].host is not None]
    return views


def _serial(site: Site, port: Port, devices: list[Device]) -> PortView:
    is_tcp = port.kind == "tcp"
    return PortView(
        id=port.id,
        kind=port.kind,
        alias=port.alias,
        path=port.path,
        host=port.host,
        tcp_port=port.tcp_port if is_tcp else None,
        baudrate=None if is_tcp else port.baudrate,
        format=None if is_tcp else port.format,
        role=port.role,
        devices=[device.id for device in devices],
        **_health(site, port.id),
    )


def _connection(site: Site, line: str, devices: list[Device]) -> PortView:
    return PortView(
        id=line,
        kind="modbus-tcp",
        alias="",
        path=None,
        host=devices[0].host,
        tcp_port=devices[0].tcp_port,
        baudrate=None,
        format=None,
        role=None,
        devices=[device.id for device in devices],
        **_health(site, line),
    )


def _health(site: Site, line: str) -> dict[str, object]:
    state = site.live.lines.get(line)
    return {"open": state.open if state else False, "error": state.error if state else None}
