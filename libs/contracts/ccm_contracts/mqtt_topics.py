"""The topics of the MQTT service (manual section 6.2.1.3.1), as data for the published document.

In the manual's terms the gateway publishes under Prefix SUB and listens under Prefix PUB; both begin with a slash.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel

from ccm_contracts.config.services import Permission
from ccm_contracts.state import MissingReason
from ccm_contracts.types import Frozen, Serial, Timestamp
from ccm_contracts.verb_table import DEVICE_COMMAND, FTP_SEND, SEND_NOW, SET_OUTPUT, Verb
from ccm_contracts.verbs.uplink import ConfigRead, ConfigSection

COMMANDABLE: Final[dict[Verb[Any, Any], Permission]] = {SET_OUTPUT: "outputs", DEVICE_COMMAND: "devices"}
"""What a command over MQTT may ask of other services, with the permission it needs: uplink calls it in the sender's
name.
"""

CONFIG_READ: Final = Verb(
    "config",  # type: ignore[arg-type]  # no service of the bus: only MQTT knows it
    "read",
    ConfigRead,
    ConfigSection,
    callers=(),
    summary="One section of the configuration, its secrets masked; answered by uplink itself",
)
MQTT_VERBS: Final = (*COMMANDABLE, SEND_NOW, FTP_SEND, CONFIG_READ)
"""Everything that a command over MQTT may ask for."""


class DeviceProgress(Frozen):
    """Of one device: the newest number that was sent, and up to which one everything was."""

    last_seq: int
    complete_to: int | None = None


class Delivery(Frozen):
    """The link's ledger in short: with it and the `seq` of each reading a receiver can name what it lacks."""

    devices: dict[str, DeviceProgress] = {}
    missing: list[tuple[str, int, int, MissingReason]] = []
    """The newest 20 ranges: device, first and last number, and why they will not come."""
    dropped: int = 0
    thinned: int = 0


class Status(Frozen):
    """Whether the gateway is connected; the last will's `ts` is the beginning of the connection that was lost."""

    online: bool
    ts: Timestamp
    gateway: Serial
    version: str = ""
    delivery: Delivery | None = None
    """While online, renewed each minute."""


class HomeAssistantDevice(BaseModel):
    """Device discovery as Home Assistant has it (home-assistant.io, MQTT, discovery); empty: the device is gone."""

    device: dict[str, Any]
    origin: dict[str, Any]
    components: dict[str, dict[str, Any]]
    state_topic: str
    availability_topic: str
    availability_template: str
    qos: int


@dataclass(frozen=True, slots=True)
class Topic:
    """`messages` are names of the document's messages; `send` is what the gateway publishes."""

    name: str
    address: str
    action: Literal["send", "receive"]
    messages: tuple[str, ...]
    summary: str
    retained: bool = False


_COMPRESSED: Final = (
    "with `compression`, gzip: its first bytes are 1f 8b, and MQTT 5 has the user property content-encoding"
)

TOPICS: Final = (
    Topic(
        "mqtt-telemetry",
        "/{prefix_sub}/telemetry/{device}",
        "send",
        ("telemetry",),
        f"A device's reading; {_COMPRESSED}",
    ),
    Topic(
        "mqtt-plant", "/{prefix_sub}/plant/{plant}", "send", ("plant",), f"A plant's balance; {_COMPRESSED}"
    ),
    Topic(
        "mqtt-batch-telemetry",
        "/{prefix_sub}/batch/telemetry",
        "send",
        ("telemetry-batch",),
        f"With `batch`: a JSON array of readings instead of one message each; {_COMPRESSED}",
    ),
    Topic(
        "mqtt-batch-plant",
        "/{prefix_sub}/batch/plant",
        "send",
        ("plant-batch",),
        f"With `batch`: a JSON array of balances instead of one message each; {_COMPRESSED}",
    ),
    Topic(
        "mqtt-event",
        "/{prefix_sub}/event/{source}/{kind}",
        "send",
        ("event",),
        f"An event or alarm; {_COMPRESSED}",
    ),
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
        "The answer to a command; also at the response topic of MQTT 5, with its correlation data",
    ),
    Topic(
        "mqtt-home-assistant",
        "{discovery_prefix}/device/ccm-{gw}-{thing}/config",
        "send",
        ("home-assistant-device",),
        "With `home_assistant`: a device (device-{device}) or a plant (plant-{plant}) and its sensors",
        retained=True,
    ),
    Topic(
        "mqtt-sparkplug",
        "spBv1.0/{group_id}/{sparkplug_kind}/{gw}/{device}",
        "send",
        ("sparkplug",),
        "With `sparkplug`: NBIRTH, NDATA and NDEATH of the gateway (without /{device}), DBIRTH, DDATA and DDEATH of"
        " each device; at QoS 0, the will at 1",
    ),
    Topic(
        "mqtt-sparkplug-command",
        "spBv1.0/{group_id}/NCMD/{gw}",
        "receive",
        ("sparkplug",),
        "With `sparkplug`: Node Control/Rebirth is obeyed, nothing else",
    ),
)
