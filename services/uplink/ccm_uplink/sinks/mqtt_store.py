"""The sender's side of a persistent MQTT session, on disk: what `kill -9` must not forget at QoS 2.

A message is written down before its PUBLISH, and that the broker has it before its PUBREL; so a restarted uplink
resumes every handshake with the same packet id, and the broker takes each message once (MQTT 5 section 4.3.3).
One file of records that are only ever added, each with its checksum; rewritten when it has grown.
"""

import asyncio
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccm_contracts.config.services import Mqtt

Key = tuple[str, int, int]
"""A message of the bus: stream, sequence in it, checksum of its payload (a stream made anew counts from 1 again)."""

FINISHED: Final = 20_000
"""Completed messages that are known again, should the bus deliver one twice."""
REWRITE_BYTES: Final = 8 * 1024 * 1024
"""The file is rewritten when it is longer than that."""

_SENT, _RECEIVED, _COMPLETE, _FORGOTTEN, _KEYS = range(1, 6)
_HEAD: Final = struct.Struct("<IBHI")  # checksum of what follows, kind, packet id, length of the body
_KEY: Final = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One MQTT message, and the messages of the bus that are in it."""

    topic: bytes
    payload: bytes
    keys: tuple[Key, ...]
    form: str
    """Its content type, and after a space its content encoding."""


@dataclass(slots=True)
class InFlight:
    """A message that the broker has not confirmed for good."""

    parcel: Parcel
    received: bool = False
    """The broker has it; on disk before its PUBREL is sent."""
    released: bool = False
    """PUBREL was sent, or may have been before a kill: the message must not be published again."""
    repeated: bool = False
    """Published a second time: Mosquitto from 2.0.16 on hangs up at the third."""


@dataclass
class SessionStore:
    """One event loop's; only the writing itself happens in a thread."""

    path: Path
    in_flight: dict[int, InFlight] = field(default_factory=dict)
    ids: dict[Key, int] = field(default_factory=dict)
    """The packet id of each message of the bus that is in flight."""
    finished: dict[Key, None] = field(default_factory=dict)
    begins_anew: bool = True
    """What the broker has of a former session does not go with this: there was no file, or the broker showed it."""
    last_id: int = 0
    """The packet id used last. The next ones go on from it, for a broker restarted with an older state may have the
    first ones in use.
    """
    _unwritten: list[bytes] = field(default_factory=list)
    _size: int = 0
    _disk: asyncio.Lock = field(default_factory=asyncio.Lock)

    def load(self) -> None:
        """Read what a former process left; a torn end, as after a power cut, is cut off. Raises `OSError`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.begins_anew = not self.path.exists()
        data = b"" if self.begins_anew else self.path.read_bytes()
        for kind, packet_id, body in _records(data):
            self._replay(kind, packet_id, body)
        self._rewrite()

    # --- what happens to a message -------------------------------------------------------------------

    def sent(self, packet_id: int, parcel: Parcel) -> None:
        """It is about to be published: `flush` before the PUBLISH."""
        self._note(_SENT, packet_id, _packed(parcel))
        self._add(packet_id, parcel)

    def received(self, packet_id: int) -> None:
        """PUBREC came: `flush` before the PUBREL, and then `released`."""
        self.in_flight[packet_id].received = True
        self._note(_RECEIVED, packet_id)

    def released(self, packet_id: int) -> None:
        """PUBREL goes out."""
        if packet_id in self.in_flight:
            self.in_flight[packet_id].released = True

    def complete(self, packet_id: int) -> None:
        """PUBCOMP came: `jot` soon. A PUBREL sent again is answered again, but a broker that was killed may have the
        message once more.
        """
        self._note(_COMPLETE, packet_id)
        self._finish(packet_id)

    def forget(self, packet_id: int) -> None:
        """The broker refused it or lost the session: the message comes again from the bus, under a new id."""
        self._note(_FORGOTTEN, packet_id)
        self._drop(packet_id)

    # --- the file ------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Everything noted so far is on disk when this returns; who comes meanwhile shares one write.

        Raises `OSError`. A cancelled caller does not stop the write.
        """
        work = asyncio.create_task(self._flush(), name="uplink.mqtt.store")
        await asyncio.shield(work)

    async def jot(self) -> None:
        """Everything noted so far survives a kill of this process, but perhaps no power cut. Raises `OSError`."""
        if self._unwritten:
            work = asyncio.create_task(self._flush(is_synced=False), name="uplink.mqtt.store")
            await asyncio.shield(work)

    async def _flush(self, *, is_synced: bool = True) -> None:
        async with self._disk:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            if data:
                await asyncio.to_thread(self._append, data, is_synced=is_synced)
            if self._size > REWRITE_BYTES:
                self._rewrite()

    def _append(self, data: bytes, *, is_synced: bool) -> None:
        with self.path.open("ab") as file:
            file.write(data)
            file.flush()
            if is_synced:
                os.fdatasync(file.fileno())
        self._size += len(data)

    def _rewrite(self) -> None:
        self._unwritten.clear()
        draft = self.path.with_suffix(".new")
        with draft.open("wb") as file:
            file.writelines(self._snapshot())
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()
        draft.replace(self.path)

    def _snapshot(self) -> Iterator[bytes]:
        yield _record(_KEYS, self.last_id, _packed_keys(tuple(self.finished)))
        for packet_id, flight in self.in_flight.items():
            yield _record(_SENT, packet_id, _packed(flight.parcel))
            if flight.received:
                yield _record(_RECEIVED, packet_id)

    def _note(self, kind: int, packet_id: int, body: bytes = b"") -> None:
        self._unwritten.append(_record(kind, packet_id, body))

    def _replay(self, kind: int, packet_id: int, body: bytes) -> None:
        if kind == _KEYS:
            self.last_id = packet_id
            self.finished.update(dict.fromkeys(_unpacked_keys(body)[0]))
        elif kind == _SENT:
            self._add(packet_id, _unpacked(body))
        elif kind == _RECEIVED and packet_id in self.in_flight:
            flight = self.in_flight[packet_id]
            flight.received = flight.released = True
        elif kind == _COMPLETE:
            self._finish(packet_id)
        elif kind == _FORGOTTEN:
            self._drop(packet_id)

    # --- in memory -----------------------------------------------------------------------------------

    def _add(self, packet_id: int, parcel: Parcel) -> None:
        self.last_id = packet_id
        self.in_flight[packet_id] = InFlight(parcel)
        self.ids.update(dict.fromkeys(parcel.keys, packet_id))

    def _drop(self, packet_id: int) -> tuple[Key, ...]:
        flight = self.in_flight.pop(packet_id, None)
        keys = flight.parcel.keys if flight else ()
        for key in keys:
            self.ids.pop(key, None)
        return keys

    def _finish(self, packet_id: int) -> None:
        for key in self._drop(packet_id):
            self.finished[key] = None
        while len(self.finished) > FINISHED:
            del self.finished[next(iter(self.finished))]


def _record(kind: int, packet_id: int, body: bytes = b"") -> bytes:
    head = _HEAD.pack(0, kind, packet_id, len(body))[4:]
    return zlib.crc32(head + body).to_bytes(4, "little") + head + body


def _records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Up to the first one that is not whole."""
    at = 0
    while at + _HEAD.size <= len(data):
        checksum, kind, packet_id, length = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data) or zlib.crc32(data[at + 4 : end]) != checksum:
            return
        yield kind, packet_id, data[at + _HEAD.size : end]
        at = end


def _packed_keys(keys: Sequence[Key]) -> bytes:
    parts = [len(keys).to_bytes(4, "little")]
    for stream, seq, checksum in keys:
        name = stream.encode()
        parts += [bytes((len(name),)), name, _KEY.pack(seq, checksum)]
    return b"".join(parts)


def _unpacked_keys(body: bytes) -> tuple[tuple[Key, ...], int]:
    """The keys and where they end."""
    keys, at = [], 4
    for _ in range(int.from_bytes(body[:4], "little")):
        begin = at + 1 + body[at]
        seq, checksum = _KEY.unpack_from(body, begin)
        keys.append((body[at + 1 : begin].decode(), seq, checksum))
        at = begin + _KEY.size
    return tuple(keys), at


def _packed(parcel: Parcel) -> bytes:
    form = parcel.form.encode()
    lengths = struct.pack("<HB", len(parcel.topic), len(form))
    return b"".join((_packed_keys(parcel.keys), lengths, parcel.topic, form, parcel.payload))


def _unpacked(body: bytes) -> Parcel:
    keys, at = _unpacked_keys(body)
    topic_length, form_length = struct.unpack_from("<HB", body, at)
    topic_end = at + 3 + topic_length
    form_end = topic_end + form_length
    return Parcel(body[at + 3 : topic_end], body[form_end:], keys, body[topic_end:form_end].decode())


def store_path(data_dir: Path, settings: Mqtt, identifier: str) -> Path:
    """One for each session at a broker: it is known there by its client id."""
    target = f"{settings.hostname}:{settings.port}/{identifier}"
    return data_dir / f"mqtt-session-{hashlib.sha256(target.encode()).hexdigest()[:12]}.log"
