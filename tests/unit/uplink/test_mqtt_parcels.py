"""Which messages of the bus travel in one of MQTT."""

from typing import Any, cast

from ccm_contracts.channels import EVENT, PLANT, TELEMETRY, Channel
from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Delivery
from ccm_uplink.sinks.mqtt_parcels import consignments
from ccm_uplink.topics import Topics

TOPICS = Topics("/site/srv", "/site/dev")


def delivery(channel: Channel[Any], seq: int) -> Delivery:
    reply = b"$JS.ACK.CCM_TELEMETRY.mqtt.1.%d.%d.0.0" % (seq, seq)
    ids = {"device": "grid", "plant": "home", "source": "api", "kind": "started"}
    return Delivery(cast(Any, None), channel, ids, None, ("ccm.gw.x", reply, b"%d" % seq))


def test_each_kind_fills_its_own_batch_though_they_come_by_turns() -> None:
    settings = Mqtt.model_validate({"batch": {"enabled": True, "max_messages": 3}})
    kinds: list[Channel[Any]] = [TELEMETRY, PLANT, TELEMETRY, TELEMETRY, PLANT, TELEMETRY]
    sent = consignments([delivery(kind, seq) for seq, kind in enumerate(kinds)], settings, TOPICS)
    assert [(each.parcel.topic, each.parcel.payload) for each in sent] == [
        (b"/site/srv/batch/telemetry", b"[0,2,3]"),
        (b"/site/srv/batch/plant", b"[1,4]"),
        (b"/site/srv/batch/telemetry", b"[5]"),
    ]


def test_events_travel_alone() -> None:
    settings = Mqtt.model_validate({"batch": {"enabled": True}})
    sent = consignments([delivery(EVENT, 1), delivery(EVENT, 2)], settings, TOPICS)
    assert [each.parcel.payload for each in sent] == [b"1", b"2"]
