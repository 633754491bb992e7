"""aiomqtt with a publisher's session of our own on its connection; the only module that touches paho's insides.

aiomqtt makes the connection, subscribes and receives. What is published from the outbox goes out as whole writes and
its confirmations are read in bulk: aiomqtt's own `publish` costs a task, an event and several system calls a message,
and paho forgets at a kill what QoS 2 must remember.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Literal

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ccm_contracts.config.services import Mqtt
from ccm_uplink.sinks import mqtt_wire as wire
from ccm_uplink.sinks.tls import tls_context

Protocol = Literal["5", "3.1.1"]
Will = aiomqtt.Will
MqttError = aiomqtt.MqttError

ANSWER_S: Final = 10.0
"""Longest wait for the broker's CONNACK, SUBACK or the confirmation of a single message."""
COMMANDS_WAITING: Final = 64
"""Unread commands; at the bound the newest is dropped, unanswered: its sender repeats it under the same id."""
SESSION_S: Final = 7 * 86_400
"""How long the broker keeps a QoS 2 session while the gateway is away."""
OWN_IDS: Final = 60_000
"""Packet ids up to here belong to the outbox; paho takes its own above."""
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
READ_BYTES: Final = 64 * 1024
CLOSED: Final = "the broker closed the connection"

SEGMENT_BYTES: Final = 1400
"""What one packet of the network takes."""
HEADERS_BYTES: Final = 80
"""Of IPv4 and TCP for each: 40 of its own, and 40 of the acknowledgement that answers it."""
TLS_BYTES: Final = 29
"""Of a TLS 1.2 record with AES-GCM; one of TLS 1.3 has 22 (RFC 8446 section 5.2)."""
OPENING_BYTES: Final = 280
"""Three packets to open a connection of TCP, four to close it."""
HANDSHAKE_BYTES: Final = 5000
"""An estimate for TLS with two certificates."""

Passed = Callable[[int], None]
"""Told how many bytes went over the wire, there or back, with what TCP and TLS add: an estimate."""
Confirmed = Callable[[int, int, int], None]
"""Told the kind of the confirmation, the packet id and the reason code."""


Watcher = Callable[[bytes, bool], None]
"""Told the payload, and whether the broker had kept it."""


class Client(aiomqtt.Client):
    """One connection. `session_present` and `limits` are known once it is entered."""

    def __init__(
        self,
        settings: Mqtt,
        *,
        identifier: str,
        protocol: Protocol,
        keeps: bool,
        will: Will | None,
        passed: Passed = lambda _: None,
    ) -> None:
        """`keeps`: the broker is to keep the session. Raises `ssl.SSLError` and `ValueError` for a bad certificate."""
        is_5 = protocol == "5"
        super().__init__(
            settings.hostname.strip("[]"),
            settings.port,
            identifier=identifier,
            username=settings.user or None,
            password=settings.password.reveal() or None,
            protocol=aiomqtt.ProtocolVersion.V5 if is_5 else aiomqtt.ProtocolVersion.V311,
            keepalive=settings.keepalive_s,
            tls_context=tls_context(settings.tls) if settings.uses_tls else None,
            will=will,
            timeout=ANSWER_S,
            max_queued_incoming_messages=COMMANDS_WAITING,
            # Without it a small write waits for the peer's delayed acknowledgement, 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            **(_session_5(keeps=keeps) if is_5 else {"clean_session": not keeps}),
        )
        self.is_5 = is_5
        self.session_present = False
        self.receive_maximum = OWN_IDS
        self.maximum_packet: int | None = None
        self.on_confirmed: Confirmed | None = None
        self.on_drained: Callable[[], None] | None = None
        self.refusals: dict[int, int] = {}
        self.reason = 0
        """Of the last confirmation of what `publish` sent; MQTT 5 may say that nobody is subscribed."""
        self.ended_by = 0
        """The reason that MQTT 5's broker gave for ending the connection."""
        self._watched: str | None = None
        self._on_watched: Watcher | None = None
        self.gone = asyncio.Event()
        self._frames = wire.Frames()
        self._unread = bytearray()
        self._ended = False
        self._paho_id = OWN_IDS
        paho: Any = self._client
        paho._mid_generate = self._next_paho_id
        paho._sock_recv = self._buffered
        self._passed = passed
        self._is_secure = settings.uses_tls
        self._send = paho._sock_send
        paho._sock_send = self._counted

    def settle(self) -> None:
        """The end of the connection has been seen: asyncio need not complain about it."""
        if self._disconnected.done():
            self._disconnected.exception()

    def watch(self, topic: str | None, watcher: "Watcher | None") -> None:
        """What comes on `topic` goes to `watcher` instead of to `messages`."""
        self._watched, self._on_watched = topic, watcher

    # --- out -----------------------------------------------------------------------------------------

    def write(self, packets: bytes) -> None:
        """Send whole packets, in order with everything else; what the socket does not take now follows later."""
        paho: Any = self._client
        paho._out_packet.append(
            {
                "command": wire.PUBLISH,
                "mid": 0,
                "qos": 1,
                "pos": 0,
                "to_process": len(packets),
                "packet": packets,
                "info": None,
            }
        )
        paho.loop_write()

    def _counted(self, packets: bytes) -> int:
        sent: int = self._send(packets)
        self._count(sent)
        return sent

    def _count(self, size: int) -> None:
        segments = -(-size // SEGMENT_BYTES)
        self._passed(size + segments * (HEADERS_BYTES + TLS_BYTES * self._is_secure))

    @property
    def is_drained(self) -> bool:
        """Nothing waits for the socket."""
        return not self._client.want_write()

    def _next_paho_id(self) -> int:
        self._paho_id = OWN_IDS + 1 if self._paho_id >= 65_535 else self._paho_id + 1
        return self._paho_id

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        super()._on_socket_unregister_write(client, userdata, sock)
        if self.on_drained is not None:
            self.on_drained()

    # --- in ------------------------------------------------------------------------------------------

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """As aiomqtt's, but each readiness takes all that came. Called in the thread that connects."""
        self._passed(OPENING_BYTES + HANDSHAKE_BYTES * self._is_secure)

        def readable() -> None:
            try:
                self._read(sock)
            except Exception as err:  # noqa: BLE001 - border of a callback: the connection ends with it
                if not self._disconnected.done():
                    self._disconnected.set_exception(err)
                self.gone.set()

        def watch() -> None:
            self._loop.add_reader(sock.fileno(), readable)
            self._misc_task = self._loop.create_task(self._misc_loop(), name="uplink.mqtt.keepalive")

        self._loop.call_soon_threadsafe(watch)

    def _read(self, sock: Any) -> None:
        try:
            data = sock.recv(READ_BYTES)
            _acknowledge_at_once(sock)
            while isinstance(sock, ssl.SSLSocket) and sock.pending():
                data += sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        self._count(len(data))
        if not data:
            self._ended = True
            self._client.loop_read()
            return
        for packet in self._frames.feed(data):
            found = wire.confirmation(packet)
            if found is not None and found[1] <= OWN_IDS:
                if self.on_confirmed is not None:
                    self.on_confirmed(*found)
                continue
            self._unread += packet
            while self._unread and self._client.socket() is not None:
                self._client.loop_read()

    def _buffered(self, size: int) -> bytes:
        """What paho reads from; empty is the end of the connection."""
        if not self._unread and not self._ended:
            raise BlockingIOError
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    # --- what aiomqtt does not tell ------------------------------------------------------------------

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        self.session_present = bool(flags.session_present)
        self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
        self.maximum_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(MqttError(CLOSED))
            self._connected.exception()  # seen, even if nobody waits any more
        self.ended_by = int(getattr(reason_code, "value", 0))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        self.gone.set()

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._on_watched is not None and message.topic == self._watched:
            self._on_watched(message.payload, bool(message.retain))
        else:
            super()._on_message(client, userdata, message)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        self.reason = int(getattr(reason_code, "value", 0))
        if getattr(reason_code, "is_failure", False):
            self.refusals[mid] = int(reason_code.value)
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _acknowledge_at_once(sock: Any) -> None:
    """A broker's second small confirmation waits for our TCP to acknowledge the first, which takes up to 40 ms.

    Linux forgets the wish with the next segments (tcp(7)).
    """
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _session_5(*, keeps: bool) -> dict[str, Any]:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_S if keeps else 0
    return {"clean_start": not keeps, "properties": properties}
