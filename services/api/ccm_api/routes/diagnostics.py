"""What goes on on a line: what a plan would cost, and the frames that went over it, live and as a file."""

import base64
from typing import Annotated

from fastapi import APIRouter, Query, Response

from ccm_api.deps import OperatorDep, Site, SiteDep, ViewerDep
from ccm_api.problems import invalid, not_found
from ccm_api.routes.ports import view_of
from ccm_api.shapes import BudgetBody
from ccm_contracts.config.document import problems_of
from ccm_contracts.config.field import Device
from ccm_contracts.verb_table import BUDGET, CAPTURE, TRACE
from ccm_contracts.verbs.bus_reader import (
    MOST_FRAMES,
    BudgetQuery,
    CaptureQuery,
    LineBudget,
    TraceAnswer,
    TraceQuery,
)

router = APIRouter(prefix="/ports", tags=["ports"])

PCAP = "application/vnd.tcpdump.pcap"


@router.post("/{port}/budget", summary="What a plan would cost, before it is applied")
async def budget(port: str, site: SiteDep, who: OperatorDep, body: BudgetBody | None = None) -> LineBudget:
    """Without a body, of the devices as they are. Which share of the wire they take, should all answer, and which
    intervals the line cannot keep. Changes nothing.
    """
    view_of(site, port)
    wanted = body or BudgetBody(remove=[])
    query = BudgetQuery(
        line=port, devices=_devices(site, port, wanted), baudrate=wanted.baudrate, format=wanted.format
    )
    return await site.bus.call(BUDGET, query, issued_by=f"api:{who.name}")


@router.get("/{port}/trace", summary="The newest frames")
async def trace(
    port: str,
    site: SiteDep,
    who: ViewerDep,
    after: Annotated[int, Query(ge=0, description="Frames with greater numbers only")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_FRAMES)] = 200,
) -> TraceAnswer:
    """Each with its direction, moment, bytes and meaning. Ask again with the last `number` as `after` to follow."""
    view_of(site, port)
    return await site.bus.call(
        TRACE, TraceQuery(line=port, after=after, limit=limit), issued_by=f"api:{who.name}"
    )


@router.get(
    "/{port}/trace/capture",
    summary="The newest frames as a capture file",
    response_class=Response,
    responses={200: {"content": {PCAP: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def capture(port: str, site: SiteDep, who: ViewerDep) -> Response:
    """A pcap file that Wireshark opens. A serial line's bytes are shown as Modbus after "Decode As... RTAC Serial:
    Modbus RTU"; a Modbus TCP connection needs no setting.
    """
    view_of(site, port)
    done = await site.bus.call(CAPTURE, CaptureQuery(line=port), issued_by=f"api:{who.name}")
    name = f"{site.bus.gateway}-{port}.pcap"
    return Response(
        base64.b64decode(done.pcap),
        media_type=PCAP,
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )


def _devices(site: Site, line: str, body: BudgetBody) -> list[Device]:
    """The line's devices as they would be. Raises for what the configuration would refuse."""
    present = [device for device in site.document.devices if device.line == line]
    wanted = list(body.devices) if body.devices is not None else present
    for index, device in enumerate(wanted):
        if device.line != line:
            raise invalid(f"devices[{index}].port", f"is not {line}")
    if body.device is not None:
        if body.device.line != line:
            raise invalid("device.port", f"is not {line}")
        wanted = [device for device in wanted if device.id != body.device.id] + [body.device]
    for name in body.remove:
        if all(device.id != name for device in present):
            raise not_found("device", name)
    wanted = [device for device in wanted if device.id not in body.remove]
    _check(site, line, wanted)
    return wanted


def _check(site: Site, line: str, wanted: list[Device]) -> None:
    others = [device for device in site.document.devices if device.line != line]
    old = {problem.message for problem in problems_of(site.document)}
    changed = site.document.model_copy(update={"devices": others + wanted})
    for problem in problems_of(changed):
        if problem.loc[0] == "devices" and problem.message not in old:
            index = int(problem.loc[1]) - len(others)
            raise invalid(f"devices[{index}]", problem.message)
