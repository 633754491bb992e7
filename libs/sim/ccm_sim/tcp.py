"""A Modbus TCP server with the devices behind it; a silent device answers nothing, an unknown unit exception 11."""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ccm_sim import modbus
from ccm_sim.faults import flipped, verdict
from ccm_sim.instrument import Device
from ccm_sim.reactor import Reactor
from ccm_sim.sockets import Connection, Listener


@dataclass(slots=True)
class TcpStats:
    """Counts since the last reset."""

    requests: int = 0
    replies: int = 0


class TcpServer:
    """Listens from construction on; runs in the reactor's thread."""

    def __init__(self, host: str, port: int, devices: Sequence[Device], reactor: Reactor, seed: int) -> None:
        self.devices = tuple(devices)
        self.stats = TcpStats()
        self._reactor = reactor
        self._random = Random(seed)
        sock = socket.create_server((host, port))
        self.address: tuple[str, int] = (host, sock.getsockname()[1])
        self._listener = Listener(sock, reactor, self._on_bytes)

    def close(self) -> None:
        """Hangs up."""
        self._listener.close()

    def reset_stats(self) -> None:
        """Begins to count anew."""
        self.stats = TcpStats()

    def _on_bytes(self, connection: Connection) -> None:
        try:
            while frame := modbus.next_mbap(connection.received):
                transaction, unit, pdu, used = frame
                connection.received = connection.received[used:]
                self._on_request(connection, transaction, unit, pdu)
        except ValueError:
            connection.close()

    def _on_request(self, connection: Connection, transaction: int, unit: int, pdu: bytes) -> None:
        self.stats.requests += 1
        device = next((known for known in self.devices if known.hears(unit)), None)
        if device is None:
            fault = modbus.exception(pdu[0], modbus.GATEWAY_TARGET_SILENT)
            self._send(connection, modbus.mbap(transaction, unit, fault))
            return
        fate = verdict(device.faults, self._random)
        if device.faults.dead:
            return
        reply = modbus.answer(pdu, device)
        if fate.is_lost:
            return
        sender = unit % 247 + 1 if fate.is_from_other else unit
        frame = modbus.mbap(transaction, sender, reply)
        if fate.is_corrupt:
            frame = flipped(frame, self._random, first=8)
        moment = time.monotonic() + device.turnaround_s + fate.delay_s
        self._reactor.call_at(moment, lambda: self._send(connection, frame))

    def _send(self, connection: Connection, frame: bytes) -> None:
        self.stats.replies += 1
        connection.send(frame)
