"""A Modbus master of raw reads and writes, for talking to simulated lines."""

import os
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path

CHAR_S = 10 / 9600
"""One character at 9600 8N1: start bit, eight data bits, stop bit."""


def crc(data: bytes) -> bytes:
    """The CRC bit by bit, as the flow chart of MODBUS over Serial Line V1.02 section 6.2.2 has it."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            carry = register & 1
            register >>= 1
            if carry:
                register ^= 0xA001
    return register.to_bytes(2, "little")


def framed(body: bytes) -> bytes:
    """An RTU frame of unit and PDU."""
    return body + crc(body)


def read_request(unit: int, function: int, address: int, count: int) -> bytes:
    """The frame of a read request."""
    return framed(bytes((unit, function)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))


def words(reply: bytes) -> list[int]:
    """The registers of an RTU read reply."""
    return [int.from_bytes(reply[at : at + 2], "big") for at in range(3, len(reply) - 2, 2)]


@dataclass
class Master:
    """One end of a line. `chunks` are (seconds since the request, bytes) of the last answer."""

    fd: int
    chunks: list[tuple[float, bytes]]

    @classmethod
    def open(cls, path: Path) -> "Master":
        """Opens a terminal as it is."""
        return cls(os.open(path, os.O_RDWR | os.O_NOCTTY), [])

    def close(self) -> None:
        """Closes the terminal."""
        os.close(self.fd)

    def ask(self, request: bytes, *, within_s: float = 1.0, length: int | None = None) -> bytes:
        """The answer: `length` bytes, or whatever comes until the line is quiet for 5 ms; b"" for silence."""
        started = time.monotonic()
        os.write(self.fd, request)
        self.chunks = []
        answer = b""
        while length is None or len(answer) < length:
            left_s = started + within_s - time.monotonic()
            quiet_s = min(left_s, 0.005) if answer and length is None else left_s
            if not select.select([self.fd], [], [], max(quiet_s, 0))[0]:
                break
            chunk = os.read(self.fd, 1024)
            self.chunks.append((time.monotonic() - started, chunk))
            answer += chunk
        return answer


def ask_tcp(address: tuple[str, int], request: bytes, *, within_s: float = 1.0) -> bytes:
    """The answer of a Modbus TCP server on a connection of its own; b"" for silence."""
    with socket.create_connection(address, timeout=within_s) as connection:
        connection.sendall(request)
        try:
            head = connection.recv(6, socket.MSG_WAITALL)
            return head + connection.recv(int.from_bytes(head[4:6], "big"), socket.MSG_WAITALL)
        except TimeoutError:
            return b""
