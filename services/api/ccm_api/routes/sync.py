"""The operating mode: reading, or synchronisation, in which native devices get their units (manual section 6.1)."""

from fastapi import APIRouter

from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, SiteDep, ViewerDep, command
from ccm_api.problems import ProblemError
from ccm_api.shapes import ModeBody
from ccm_contracts.state import ModeState
from ccm_contracts.verb_table import SET_MODE
from ccm_contracts.verbs.bus_reader import SetMode

router = APIRouter(prefix="/sync", tags=["devices"])


@router.get("", summary="The operating mode and the devices that got a unit")
async def mode(site: SiteDep, _: ViewerDep) -> ModeState:
    """A device that got a unit is added to the configuration by itself; then it has a `device`."""
    state = next(iter(site.live.modes.values()), None)
    if state is None:
        raise ProblemError(503, "no-mode", "bus-reader has not reported its mode yet")
    return state


@router.post("", summary="Enter or leave synchronisation mode")
async def set_mode(
    site: SiteDep,
    who: OperatorDep,
    audit: AuditDep,
    body: ModeBody | None = None,
    command_id: CommandIdDep = None,
) -> ModeState:
    """As the button does. It ends by itself after 10 minutes (`until`). 409 `scan-running`, `unit-used`; 422 without a
    native line.
    """
    body = body or ModeBody()
    state = await command(site, SET_MODE, SetMode(mode=body.mode), who=who, command_id=command_id)
    site.live.told(state)
    audit.note("mode-set", f"set the mode to {body.mode}", mode=body.mode)
    return state


@router.delete("", summary="Back to reading mode")
async def leave(
    site: SiteDep, who: OperatorDep, audit: AuditDep, command_id: CommandIdDep = None
) -> ModeState:
    """Nothing happens in reading mode."""
    state = await command(site, SET_MODE, SetMode(mode="reading"), who=who, command_id=command_id)
    site.live.told(state)
    audit.note("mode-set", "set the mode to reading", mode="reading")
    return state
