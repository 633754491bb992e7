"""The multi-function button, pressed from afar (manual sections 4 and 6.3.2)."""

from fastapi import APIRouter

from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, SiteDep, command
from ccm_api.shapes import ButtonBody
from ccm_contracts.verb_table import PRESS_BUTTON
from ccm_contracts.verbs.io import ButtonDone, PressButton

router = APIRouter(tags=["outputs"])


@router.post("/button", summary="Press the multi-function button")
async def press(
    body: ButtonBody, site: SiteDep, who: OperatorDep, audit: AuditDep, command_id: CommandIdDep = None
) -> ButtonDone:
    """What the press means depends on its duration, as with a finger; the answer says what it meant."""
    args = PressButton(duration_s=body.duration_s)
    done = await command(site, PRESS_BUTTON, args, who=who, command_id=command_id)
    text = f"pressed the button for {body.duration_s:g} s: {done.action}"
    audit.note("button-pressed", text, duration_s=body.duration_s, action=done.action)
    return done
