"""Whether numbers that a lane passed over came to the stream: others may have been done with them."""

from collections.abc import Sequence
from typing import Final

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.state import Missing
from ccm_kit.bus import Bus
from ccm_uplink.ledger import Ledger

JUDGED_AT_ONCE: Final = 20
"""Gaps that are looked up in one turn; the others wait for the next."""


async def look_up(bus: Bus, ledger: Ledger, segment: str, suspects: Sequence[tuple[int, Missing]]) -> None:
    """Of what is acknowledged up to there: what the stream has was delivered by a replica or a process before.

    Raises `BusDownError`.
    """
    for at, gap in suspects:
        kept = await bus.newest_up_to(TELEMETRY, at - 1)
        stored = [reading.seq for _, reading in kept if reading.device == gap.device]
        ledger.were_stored(segment, gap, max(stored, default=-1))
