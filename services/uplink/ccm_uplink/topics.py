"""Maps the bus to MQTT topics and back. Pure.

In the manual's terms (section 6.2.1.3.1) the gateway publishes under Prefix SUB and listens under Prefix PUB.
"""

from dataclasses import dataclass
from typing import Any, Final

from ccm_contracts.channels import EVENT, PLANT, TELEMETRY, Channel

_FORMS: Final = {
    TELEMETRY.name: "telemetry/{device}",
    PLANT.name: "plant/{plant}",
    EVENT.name: "event/{source}/{kind}",
}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway; prefixes begin with `/` and do not end with it."""

    prefix_sub: str
    prefix_pub: str

    def of(self, channel: Channel[Any], ids: dict[str, str]) -> str:
        """Where a message of the bus is published."""
        return f"{self.prefix_sub}/{_FORMS[channel.name].format_map(ids)}"

    def batch(self, channel: Channel[Any]) -> str:
        """Where several messages of one kind are published together."""
        return f"{self.prefix_sub}/batch/{channel.name}"

    @property
    def status(self) -> str:
        """Retained; the last will says that the gateway is gone."""
        return f"{self.prefix_sub}/status"

    @property
    def commands(self) -> str:
        """What the gateway subscribes to: a mistyped command is to be answered too."""
        return f"{self.prefix_pub}/command/#"

    def result(self, command_id: str) -> str:
        """Where a command is answered."""
        return f"{self.prefix_sub}/result/{command_id}"

    def may_answer_at(self, topic: str) -> bool:
        """A sender may not have the gateway write into its own telemetry, or command itself."""
        inside = (f"{self.prefix_sub}/result/", f"{self.prefix_sub}/response/")
        own = (f"{self.prefix_sub}/", f"{self.prefix_pub}/", "$")
        if set("+#\0") & set(topic) or f"{topic}/".startswith(f"{self.prefix_pub}/command/"):
            return False
        return topic.startswith(inside) or not topic.startswith(own)

    def may_be_own(self, topic: str) -> bool:
        """It is heard, and perhaps said by the gateway itself: with Prefix PUB `/a/result`, of a command `command`."""
        return topic == f"{self.prefix_pub}/command" and topic.startswith(f"{self.prefix_sub}/")

    def command_in(self, topic: str) -> tuple[str, str] | None:
        """`(service, verb)` of a command's topic, or None when it is not one."""
        prefix = f"{self.prefix_pub}/command/"
        parts = topic.removeprefix(prefix).split("/")
        if not topic.startswith(prefix) or len(parts) != 2 or not all(parts):
            return None
        return parts[0], parts[1]
