"""Messages that a service refuses are parked: an event with the reason and the message's beginning."""

import logging
from collections.abc import Callable
from typing import Any, Final

from ccm_contracts.channels import CONFIG, Channel
from ccm_contracts.messages import Rejected, Severity
from ccm_kit.clock import Clock
from ccm_kit.parsing import NotParsedError

log = logging.getLogger(__name__)

REJECTIONS_PER_WINDOW: Final = 20
REJECTION_WINDOW_S: Final = 10.0
"""More rejections than that are counted, and reported with the next one."""


class Rejections:
    """`park` tells the operator, within bounds."""

    def __init__(self, clock: Clock, event: Callable[..., None]) -> None:
        """`event` is `Bus.event`."""
        self._clock = clock
        self._event = event
        self._at: list[float] = []
        self._suppressed = 0

    def park(self, channel: Channel[Any] | None, subject: str, data: bytes, err: NotParsedError) -> None:
        """What is refused of a configuration is not shown: it may hold a secret."""
        now = self._clock.monotonic()
        self._at = [at for at in self._at if now - at < REJECTION_WINDOW_S]
        if len(self._at) >= REJECTIONS_PER_WINDOW:
            self._suppressed += 1
            return
        self._at.append(now)
        is_config = channel is not None and channel.stream == CONFIG["mqtt"].stream
        rejected = Rejected(
            subject=subject[:300],
            reason=str(err)[:300],
            field=err.field,
            excerpt="" if is_config else data[:200].decode("utf-8", "replace"),
        )
        more, self._suppressed = self._suppressed, 0
        log.warning("message rejected", extra={"subject": subject, "reason": str(err), "field_at": err.field})
        severity: Severity = "warning"
        self._event(
            "rejected",
            severity,
            f"a message on {subject[:200]} was refused: {str(err)[:300]}",
            **rejected.model_dump(),
            suppressed=more,
        )
