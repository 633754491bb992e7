"""Makes MQTT messages of bus messages: one each, or several as a JSON array; plain or gzip. Pure."""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ccm_contracts.channels import EVENT
from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Delivery
from ccm_uplink.sinks.mqtt_store import Key, Parcel
from ccm_uplink.topics import Topics

BATCH_BYTES: Final = 128 * 1024
"""A batch ends before it is longer than that, uncompressed."""
JSON: Final = "application/json"
GZIPPED: Final = "application/json gzip"


@dataclass(frozen=True, slots=True)
class Consignment:
    """A parcel, and the deliveries that are finished once it has arrived."""

    parcel: Parcel
    deliveries: tuple[Delivery, ...]


def key_of(delivery: Delivery) -> Key:
    return delivery.channel.stream, delivery.seq, zlib.crc32(delivery.payload)


def consignments(deliveries: Sequence[Delivery], settings: Mqtt, topics: Topics) -> list[Consignment]:
    """In the order of the bus, each kind for itself. Events travel alone: a listener wants them by their topic."""
    groups: list[list[Delivery]] = []
    open_ones: dict[str, tuple[list[Delivery], int]] = {}
    """Of each kind the newest group, and its bytes."""
    for delivery in deliveries:
        kind, size = delivery.channel.name, len(delivery.payload)
        group, before = open_ones.get(kind, ([], 0))
        if not (group and _fits(group, before + size, settings)):
            group, before = [], 0
            groups.append(group)
        group.append(delivery)
        open_ones[kind] = group, before + size
    return [_consignment(group, settings, topics) for group in groups]


def _fits(group: list[Delivery], size: int, settings: Mqtt) -> bool:
    """One more, with which it has so many bytes."""
    return (
        settings.batch.enabled
        and group[0].channel is not EVENT
        and len(group) < settings.batch.max_messages
        and size <= BATCH_BYTES
    )


def _consignment(group: list[Delivery], settings: Mqtt, topics: Topics) -> Consignment:
    first = group[0]
    if settings.batch.enabled and first.channel is not EVENT:
        topic = topics.batch(first.channel)
        payload = b"[" + b",".join(delivery.payload for delivery in group) + b"]"
    else:
        topic, payload = topics.of(first.channel, first.ids), first.payload
    form = JSON
    if settings.compression == "gzip":
        payload, form = gzip.compress(payload, mtime=0), GZIPPED
    keys = tuple(key_of(delivery) for delivery in group) if settings.qos == 2 else ()
    return Consignment(Parcel(topic.encode(), payload, keys, form), tuple(group))
