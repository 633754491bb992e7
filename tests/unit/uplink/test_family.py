"""What a family of lanes remembers of its finished messages."""

from typing import Any, cast

from ccm_contracts.channels import TELEMETRY
from ccm_kit.consumer import Delivery
from ccm_uplink.family import REMEMBERED, Finished


def _key(seq: int, payload: bytes) -> int:
    arrived = ("ccm.gw.telemetry.grid", b"$JS.ACK.CCM_TELEMETRY.mqtt.1.%d.%d.0.0" % (seq, seq), payload)
    return Delivery(cast(Any, None), TELEMETRY, {"device": "grid"}, None, arrived).key


def test_the_newest_finished_messages_are_known_again_and_older_ones_forgotten() -> None:
    finished = Finished()
    for seq in range(4 * REMEMBERED):
        finished.add([seq])
        assert max(0, seq - REMEMBERED + 1) in finished
    assert 2 * REMEMBERED - 1 not in finished
    assert finished.has_none_of([5, 6])
    assert not finished.has_none_of([5, 4 * REMEMBERED - 1])


def test_a_stream_that_was_made_anew_has_other_messages_under_the_same_numbers() -> None:
    finished = Finished()
    finished.add([_key(1, b"before")])
    assert _key(1, b"before") in finished
    assert _key(1, b"after") not in finished
    assert _key(2, b"before") not in finished
