"""What was confirmed at QoS 1 and may yet be forgotten: bounded in number, kept in order, told again once."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_kit.bus import Delivery
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.mqtt_recent import HELD_MOST, UNHEARD_S, Recent


class Batch:
    """The lane's side."""

    def __init__(self) -> None:
        self.settled: list[int] = []

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        self.settled += [each.seq for each in deliveries]


class Line:
    """The session's side; breaks after so many messages."""

    def __init__(self, most: int = 10**6) -> None:
        self.carried: list[int] = []
        self._most = most

    async def carry(self, batch: Handover) -> None:
        for each in batch.left():
            if len(self.carried) == self._most:
                raise SinkDownError("the line is broken")
            self.carried.append(each.seq)
            await batch.arrived(each)


def delivery(seq: int, device: str = "grid") -> Delivery:
    reply = b"$JS.ACK.CCM_TELEMETRY.mqtt.1.%d.%d.0.0" % (seq, seq)
    arrived = (f"ccm.gw.telemetry.{device}", reply, b"%d" % seq)
    return Delivery(cast(Any, None), TELEMETRY, {"device": device}, None, arrived)


def as_batch(batch: Batch) -> Handover:
    return cast(Handover, batch)


async def test_what_is_held_beyond_the_bound_is_acknowledged_oldest_first() -> None:
    recent, batch = Recent(lambda: 0.0), Batch()
    for seq in range(HELD_MOST + 3):
        await recent.hold(as_batch(batch), [delivery(seq)])
    assert batch.settled == [0, 1, 2]


async def test_repeat_that_breaks_is_taken_up_where_it_broke() -> None:
    recent, batch = Recent(lambda: 0.0), Batch()
    await recent.hold(as_batch(batch), [delivery(seq) for seq in range(5)])
    broken, whole = Line(2), Line()
    with pytest.raises(SinkDownError):
        await recent.repeat(broken.carry)
    await recent.repeat(whole.carry)
    assert (broken.carried, whole.carried, batch.settled) == ([0, 1], [2, 3, 4], [])


async def test_what_nobody_heard_waits_for_a_subscriber_of_its_own_topic_and_not_for_ever() -> None:
    now = [0.0]
    recent = Recent(lambda: now[0])
    recent.answered([delivery(1)], was_heard=False)
    now[0] = UNHEARD_S + 1
    recent.answered([delivery(2), delivery(3, "roof")], was_heard=False)
    recent.answered([delivery(4)], was_heard=True)
    assert [each.seq for each in recent.due_again()] == [2]
