"""How a transaction ended: an answer, or a failure and its kind. Pure."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

FailureKind = Literal["timeout", "corrupt", "garbled", "foreign", "doubtful", "lost"]
"""corrupt: the reply with a wrong check sum. garbled: as many bytes as the reply, whosever they were. doubtful: only an
exception came, which may be the late answer to an earlier request."""


class Answer(NamedTuple):
    """The reply's words (empty for a write), or its exception code; `at` is when its last byte came (monotonic)."""

    words: tuple[int, ...]
    exception: int | None
    at: float
    response_s: float
    """From the request's last byte to the first that was received of the reply: a UART hands bytes over in lumps."""
    turnaround_s: float = 0.0
    """What the transaction took beyond its bytes: the device's turnaround, and the network's."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `was_late_s`: the reply came so long after the request, too late to be used."""

    kind: FailureKind
    text: str
    was_late_s: float | None = None


def nothing(received: int, wanted: int, timeout_s: float, had: FailureKind) -> Failure:
    """After the wait: `received` bytes of the `wanted` ones make no frame; `had`: what else came meanwhile."""
    if received >= wanted:
        return Failure("garbled", "a garbled reply")
    if had == "foreign":
        return Failure(had, f"only a reply that was not asked for in {timeout_s:.2g} s")
    if had == "doubtful":
        return Failure(had, "an exception, perhaps to an earlier request")
    if received:
        return Failure("timeout", f"only {received} bytes of a reply")
    return Failure("timeout", f"no reply in {timeout_s:.2g} s")
