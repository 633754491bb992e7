"""What io can be asked."""

from typing import Annotated, Literal

from pydantic import Field

from ccm_contracts.state import OutputState
from ccm_contracts.types import Finite, Frozen

OutputId = Literal["relay-1", "relay-2", "analog-1"]


class SetOutput(Frozen):
    """Switch a relay (0 or 1) or set the 0-10 V output (volts).

    With `hold_s` the output returns to its safe state by itself unless the command is renewed in time.
    """

    output: OutputId
    value: Annotated[Finite, Field(ge=0, le=10)]
    hold_s: Annotated[Finite, Field(gt=0, le=86_400)] | None = None


class OutputDone(Frozen):
    state: OutputState


class PressButton(Frozen):
    """Press the multi-function button as a finger would, for `duration_s` seconds (manual sections 4, 6.3.2)."""

    duration_s: Annotated[Finite, Field(gt=0, le=15)]


class ButtonDone(Frozen):
    """What the press meant: re-enable the access point, change the mode, or factory reset."""

    action: Literal["access-point", "synchronisation", "factory-reset", "none"]
