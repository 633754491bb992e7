"""What is known now, in the text format of Prometheus (version 0.0.4). Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from ccm_api.freshness import age_s, is_service_stale
from ccm_api.live import Live
from ccm_contracts.metrics import METRICS

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float | None]
_LINE_COUNTERS: Final = ("requests", "answers", "timeouts", "crc_errors", "exceptions", "foreign")
_POWERS: Final = ("p_prod", "p_grid", "p_load", "p_self", "p_exp", "p_imp", "p_bat")


def exposition(live: Live, *, now: datetime, version: str, streams: int) -> str:
    """All families; a value that is not known has no sample."""
    lines: list[str] = []
    lines += _family("ccm_info", "The version that answers", [({"version": version}, 1)])
    lines += _family("ccm_streams", "Open live streams", [({}, streams)])
    lines += _services(live, now)
    lines += _devices(live, now)
    lines += _lines(live)
    lines += _links(live)
    lines += _outputs_and_plants(live)
    return "\n".join(lines) + "\n"


def _services(live: Live, now: datetime) -> Iterator[str]:
    samples = [({"service": name}, float(not is_service_stale(s, now))) for name, s in live.services.items()]
    yield from _family("ccm_service_up", "1 when the service announced itself in the last 15 s", samples)


def _devices(live: Live, now: datetime) -> Iterator[str]:
    online = [({"device": name}, float(state.online)) for name, state in live.devices.items()]
    yield from _family("ccm_device_online", "1 when the device answers", online)
    ages = [({"device": name}, age_s(reading.ts, now)) for name, reading in live.readings.items()]
    yield from _family("ccm_device_age_seconds", "Age of the newest reading", ages)
    values = [
        ({"device": name, "metric": metric, "unit": METRICS[metric].unit if metric in METRICS else ""}, value)
        for name, reading in live.readings.items()
        for metric, value in reading.values.items()
        if isinstance(value, int | float)
    ]
    yield from _family("ccm_device_value", "Newest value in its vocabulary unit", values)


def _lines(live: Live) -> Iterator[str]:
    for counter in _LINE_COUNTERS:
        samples = [({"line": name}, float(getattr(state, counter))) for name, state in live.lines.items()]
        yield from _family(f"ccm_line_{counter}", f"{counter} in the line's window", samples)
    busy = [({"line": name}, state.utilisation) for name, state in live.lines.items()]
    yield from _family("ccm_line_utilisation", "Part of the window in which the wire was in use", busy)
    is_open = [({"line": name}, float(state.open)) for name, state in live.lines.items()]
    yield from _family("ccm_line_open", "1 when the line is open", is_open)


def _links(live: Live) -> Iterator[str]:
    links = {name: state for name, state in live.links.items() if state.enabled}
    connected = [({"link": name}, float(state.connected)) for name, state in links.items()]
    yield from _family("ccm_link_connected", "1 when the uplink is connected", connected)
    pending = [({"link": name}, float(state.pending)) for name, state in links.items()]
    yield from _family("ccm_link_pending", "Messages that wait for the uplink", pending)
    oldest = [({"link": name}, state.oldest_s) for name, state in links.items()]
    yield from _family("ccm_link_oldest_seconds", "Age of the oldest of them", oldest)
    delivered = [({"link": name}, float(state.delivered)) for name, state in links.items()]
    yield from _family("ccm_link_delivered_total", "Messages delivered", delivered, kind="counter")


def _outputs_and_plants(live: Live) -> Iterator[str]:
    outputs = [({"output": name}, state.value) for name, state in live.outputs.items()]
    yield from _family("ccm_output_value", "A relay's 0 or 1, or volts", outputs)
    powers: list[Sample] = [
        ({"plant": name, "power": power}, getattr(balance, power))
        for name, balance in live.balances.items()
        for power in _POWERS
    ]
    yield from _family("ccm_plant_power_watts", "A plant's powers", powers)


def _family(name: str, text: str, samples: Iterable[Sample], *, kind: str = "gauge") -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        if value is not None:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
