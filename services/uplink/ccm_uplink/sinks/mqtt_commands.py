"""Commands that come in over MQTT: received, answered under Prefix SUB and where MQTT 5 asks for it."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ccm_uplink.commands import Commands
from ccm_uplink.sinks.mqtt_client import ANSWER_S, Client, MqttError
from ccm_uplink.topics import Topics

UNNAMED: Final = "refused"
"""The last level of the result's topic where a command has no id that can be read."""


class Listener:
    """Answers the commands of one connection."""

    def __init__(self, client: Client, topics: Topics, commands: Commands) -> None:
        self._client = client
        self._topics = topics
        self._commands = commands

    async def subscribe(self, qos: int) -> bool:
        """Whether the broker will deliver commands. Raises `MqttError`."""
        codes = await self._client.subscribe(self._topics.commands, qos=qos)
        return not any(getattr(code, "is_failure", code == 128) for code in codes)

    async def run(self) -> None:
        """Until the connection ends: raises `MqttError`."""
        async with asyncio.TaskGroup() as answering:
            async for message in self._client.messages:
                answering.create_task(self._answer(message), name="uplink.mqtt.command")

    async def _answer(self, message: Any) -> None:
        topic, payload = str(message.topic), _bytes_of(message.payload)
        if self._topics.may_be_own(topic):
            return
        target = self._topics.command_in(topic)
        reply = await self._commands.answer(target, payload, where=topic, is_retained=bool(message.retain))
        own = self._topics.result(reply.command_id or UNNAMED)
        await self._publish(own, reply.payload, None)
        asked, correlation = _response_of(message.properties)
        if asked and asked != own and self._topics.may_answer_at(asked):
            await self._publish(asked, reply.payload, correlation)

    async def _publish(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        properties: Any = None
        if correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = correlation
        with suppress(MqttError):
            await self._client.publish(topic, payload, 1, properties=properties, timeout=ANSWER_S)


def _response_of(properties: Any) -> tuple[str, bytes | None]:
    """Where MQTT 5's sender wants the answer, and what he knows it by (MQTT 5 section 4.10)."""
    return getattr(properties, "ResponseTopic", ""), getattr(properties, "CorrelationData", None)


def _bytes_of(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else str(payload).encode()
