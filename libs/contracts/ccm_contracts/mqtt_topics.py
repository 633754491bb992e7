"""The topics of the MQTT service (manual section 6.2.1.3.1), as data for the published document.

In the manual's terms the gateway publishes under Prefix SUB and listens under Prefix PUB; both begin with a slash.
"""

from dataclasses import dataclass
from typing import Final, Literal

from ccm_contracts.channels import VERBS
from ccm_contracts.types import Frozen, Serial, Timestamp

MQTT_VERBS: Final = tuple(verb for verb in VERBS if "uplink" in verb.callers)
"""What a command over MQTT may ask for: uplink calls it in the sender's name."""


class Status(Frozen):
    """Whether the gateway is connected; the last will's `ts` is the beginning of the connection that was lost."""

    online: bool
    ts: Timestamp
    gateway: Serial


@dataclass(frozen=True, slots=True)
class Topic:
    """`messages` are names of the document's messages; `send` is what the gateway publishes."""

    name: str
    address: str
    action: Literal["send", "receive"]
    messages: tuple[str, ...]
    summary: str
    retained: bool = False


TOPICS: Final = (
    Topic("mqtt-telemetry", "/{prefix_sub}/telemetry/{device}", "send", ("telemetry",), "A device's reading"),
    Topic("mqtt-plant", "/{prefix_sub}/plant/{plant}", "send", ("plant",), "A plant's balance"),
    Topic("mqtt-event", "/{prefix_sub}/event/{source}/{kind}", "send", ("event",), "An event or alarm"),
    Topic(
        "mqtt-status",
        "/{prefix_sub}/status",
        "send",
        ("mqtt-status",),
        "Whether the gateway is connected; the last will says offline",
        retained=True,
    ),
    Topic(
        "mqtt-command",
        "/{prefix_pub}/command/{service}/{verb}",
        "receive",
        tuple(f"{verb.name}.request" for verb in MQTT_VERBS),
        "A command, answered under Prefix SUB",
    ),
    Topic(
        "mqtt-result",
        "/{prefix_sub}/result/{command_id}",
        "send",
        tuple(f"{verb.name}.reply" for verb in MQTT_VERBS),
        "The answer to a command",
    ),
)
