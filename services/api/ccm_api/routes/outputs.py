"""The relays and the 0-10 V output; which of them there are depends on the gateway's model."""

from dataclasses import dataclass
from typing import Final, get_args

from fastapi import APIRouter

from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, Site, SiteDep, ViewerDep, command
from ccm_api.problems import ProblemError, invalid, not_found
from ccm_api.shapes import OutputBody, OutputList, OutputView
from ccm_contracts.config.site import Feature
from ccm_contracts.state import OutputState
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import OutputId, SetOutput

router = APIRouter(prefix="/outputs", tags=["outputs"])


@dataclass(frozen=True, slots=True)
class _Kind:
    feature: Feature
    unit: str
    maximum: float
    name: str


_RELAY: Final = _Kind("relays", "", 1.0, "relays")
_KINDS: Final[dict[OutputId, _Kind]] = {
    "relay-1": _RELAY,
    "relay-2": _RELAY,
    "analog-1": _Kind("analog", "V", 10.0, "0-10 V output"),
}


@router.get("", summary="The outputs that this model has")
async def outputs(site: SiteDep, _: ViewerDep) -> OutputList:
    features = site.document.gateway.features
    own = [output for output, kind in _KINDS.items() if kind.feature in features]
    return OutputList(outputs=[_view(site, output, site.live.outputs.get(output)) for output in own])


@router.get("/{output}", summary="One output")
async def one_output(output: str, site: SiteDep, _: ViewerDep) -> OutputView:
    """404 for an output that this model does not have."""
    known = _present(site, output)
    return _view(site, known, site.live.outputs.get(known))


@router.put("/{output}", summary="Switch a relay or set the 0-10 V output")
async def set_output(
    output: str,
    body: OutputBody,
    site: SiteDep,
    who: OperatorDep,
    audit: AuditDep,
    command_id: CommandIdDep = None,
) -> OutputView:
    """Answers the state read back from the hardware."""
    known = _present(site, output)
    if _KINDS[known] is _RELAY and body.value not in (0, 1):
        raise invalid("value", "a relay is 0 (open) or 1 (closed)")
    args = SetOutput(output=known, value=body.value, hold_s=body.hold_s)
    done = await command(site, SET_OUTPUT, args, who=who, command_id=command_id)
    audit.note("output-set", f"set {known} to {body.value:g}", output=known, value=body.value)
    return _view(site, known, done.state)


def _present(site: Site, output: str) -> OutputId:
    for known in get_args(OutputId):
        if known == output:
            gateway, kind = site.document.gateway, _KINDS[known]
            if kind.feature not in gateway.features:
                detail = f"the model {gateway.model} has no {kind.name}"
                raise ProblemError(404, "not-on-this-model", detail)
            return known  # type: ignore[no-any-return]
    raise not_found("output", output)


def _view(site: Site, output: OutputId, state: OutputState | None) -> OutputView:
    kind, configured = _KINDS[output], site.document.outputs.of(output)
    facts = state.model_dump(exclude={"output"}) if state else {"value": None, "safe": configured.safe}
    return OutputView(
        id=output, alias=configured.alias, unit=kind.unit, minimum=0, maximum=kind.maximum, **facts
    )
