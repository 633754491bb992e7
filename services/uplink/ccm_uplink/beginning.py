"""What the bus knows of a segment when a lane starts on it: what was done with before, here or in another process."""

from collections.abc import Sequence

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.messages import Reading
from ccm_kit.nats_pull import ConsumerFacts
from ccm_uplink.family import Shared
from ccm_uplink.segments import Segment


async def begin(shared: Shared, segment: Segment, facts: ConsumerFacts, *, is_oldest: bool) -> None:
    """Tell the ledger what of this segment was done with before this process began. Raises `BusDownError`."""
    if not shared.has_ledger:
        return
    bus, ledger = shared.bus, shared.report.ledger
    known = await bus.newest_up_to(TELEMETRY, facts.acked_seq) if facts.acked_seq else []
    until = facts.delivered_seq if facts.delivered_seq > facts.acked_seq else 0
    out = await bus.newest_up_to(TELEMETRY, until) if until else []
    start = segment.start or 1
    before = [] if is_oldest or start == 1 else await bus.newest_up_to(TELEMETRY, start - 1)
    is_exact = shared.latency_s == 0
    ledger.begins(
        segment.name,
        _numbers(known),
        _numbers(out),
        until,
        before=None if is_oldest else {reading.device: reading.seq for _, reading in before},
        is_exact=is_exact,
    )
    for _, reading in known if is_exact else ():
        ledger.is_known_to_have(reading.device, reading.seq, reading.ts)


def _numbers(found: Sequence[tuple[int, Reading]]) -> list[tuple[str, int, int]]:
    return [(reading.device, reading.seq, seq) for seq, reading in found]
