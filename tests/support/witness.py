"""An MQTT subscriber whose QoS 2 session holds across connections: paho's, with a session that the broker keeps.

mosquitto_sub 2.0.11 forgets its half of a handshake when it reconnects, and hands on the wrong one of two messages when
a broker that was killed begins again with packet ids that it has in use.
"""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.wait import until


class Witness:
    """Reconnects by itself after a second; keeps what it heard, in order."""

    def __init__(self, port: int, topics: Sequence[str], qos: int = 2, client_id: str = "witness") -> None:
        self.heard: list[tuple[str, bytes]] = []
        """Topic and payload."""
        self._subscribed = threading.Event()
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._paho.reconnect_delay_set(1, 1)
        self._topics = [(topic, qos) for topic in topics]
        self._paho.on_connect = self._subscribe
        self._paho.on_subscribe = lambda *_: self._subscribed.set()
        self._paho.on_message = lambda _, __, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self._paho.connect("127.0.0.1", port)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.heard]

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topics)

    async def start(self) -> None:
        self._paho.loop_start()
        await until(self._subscribed.is_set, deadline_s=10, what="the witness's subscription")

    def stop(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


@asynccontextmanager
async def witness(
    port: int, *topics: str, qos: int = 2, client_id: str = "witness"
) -> AsyncIterator[Witness]:
    """A subscribed witness."""
    made = Witness(port, topics, qos, client_id)
    await made.start()
    try:
        yield made
    finally:
        made.stop()
