"""Where an MQTT sink stands: what stays when new settings bring a new one."""

from dataclasses import dataclass
from pathlib import Path

from ccm_kit.bus import Bus
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Turn
from ccm_uplink.sinks.mqtt_recent import Recent


@dataclass(frozen=True, slots=True)
class Place:
    """The link's own, from sink to sink."""

    bus: Bus
    report: LinkReport
    turn: Turn
    recent: Recent
    data_dir: Path
