"""What counters did and which values were not believed, as events: each once, and noise at most once an hour. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ccm_bus_reader.plausible import Finding
from ccm_contracts.messages import Severity
from ccm_contracts.metrics import METRICS

QUIET_S: Final = 3600.0
"""The same noise of the same value is told again after so long, with how often it came meanwhile."""
NOISE: Final = ("jitter", "glitch", "unsure")

_KINDS: Final[dict[str, tuple[str, Severity, str]]] = {
    "jitter": (
        "counter-jitter",
        "info",
        "{metric} went back from {before} to {value}: jitter of the meter, not counted",
    ),
    "rollover": ("counter-rollover", "info", "{metric} rolled over from {before} to {value}: counted on"),
    "reset": ("counter-reset", "warning", "{metric} was reset from {before} to {value}: counted on from 0"),
    "replaced": (
        "counter-replaced",
        "warning",
        "{metric} belongs to another meter now (before {before}, now {value}): counted on from there",
    ),
    "stepped-back": (
        "counter-stepped-back",
        "warning",
        "{metric} went back from {before} to {value}: what was counted meanwhile is unknown",
    ),
    "jumped": (
        "counter-jumped",
        "warning",
        "{metric} jumped from {before} to {value}, more than can have been counted: not accumulated",
    ),
    "glitch": ("value-glitch", "info", "{metric} read {value} after {before}, and otherwise when read again"),
    "unsure": ("value-unsure", "warning", "{metric} read {before} and then {value}: not believed"),
}

TOGETHER: Final = ("replaced", "reset", "stepped-back")
"""What happens to all counters of a meter at once is one event."""

Told = tuple[str, Severity, str]


def together(findings: Iterable[Finding]) -> Iterator[tuple[Finding, list[Finding]]]:
    """Each finding that makes an event of its own, with those that go into the same."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        key = (finding.what, "" if finding.what in TOGETHER else finding.metric)
        groups.setdefault(key, []).append(finding)
    for group in groups.values():
        first = next((each for each in group if each.before != each.value), group[0])
        yield first, [each for each in group if each is not first]


class FindingEvents:
    """Of one line."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def tell(
        self, device: str, finding: Finding, now: float, others: Sequence[Finding] = ()
    ) -> tuple[Told, dict[str, object]] | None:
        """Kind, severity and text of the event, and its data; None when it is told already."""
        key = (device, finding.metric, finding.what)
        since, unsaid = self._told.get(key, (now - QUIET_S, 0))
        if finding.what in NOISE and now - since < QUIET_S:
            self._told[key] = (since, unsaid + 1)
            return None
        self._told[key] = (now, 0)
        kind, severity, text = _KINDS[finding.what]
        label = METRICS[finding.metric].label
        message = f"{device}: {text.format(metric=label, before=finding.before, value=finding.value)}"
        data: dict[str, object] = {
            "device": device,
            "metric": finding.metric,
            "before": finding.before,
            "value": finding.value,
        }
        if others:
            message += f"; the same for {len(others)} more of its counters"
            data["others"] = {each.metric: [each.before, each.value] for each in others}
        if unsaid:
            data["repeats"] = unsaid
        return (kind, severity, message), data

    def forget(self, device: str) -> None:
        """The device is gone."""
        self._told = {key: told for key, told in self._told.items() if key[0] != device}
