"""Bus messages to MQTT topics (design.md section 3) and command topics back."""

import pytest

from ccm_contracts.channels import EVENT, PLANT, TELEMETRY
from ccm_uplink.topics import Topics

TOPICS = Topics("/site/srv", "/site/dev")


def test_messages_are_published_under_prefix_sub() -> None:
    assert TOPICS.of(TELEMETRY, {"gw": "g", "device": "grid"}) == "/site/srv/telemetry/grid"
    assert TOPICS.of(PLANT, {"gw": "g", "plant": "house"}) == "/site/srv/plant/house"
    event = {"gw": "g", "source": "bus-reader", "kind": "rejected"}
    assert TOPICS.of(EVENT, event) == "/site/srv/event/bus-reader/rejected"
    assert TOPICS.status == "/site/srv/status"
    assert TOPICS.result("c1") == "/site/srv/result/c1"


def test_commands_are_heard_under_prefix_pub() -> None:
    assert TOPICS.commands == "/site/dev/command/#"
    assert TOPICS.command_in("/site/dev/command/io/output") == ("io", "output")


@pytest.mark.parametrize(
    "topic",
    [
        "/site/srv/command/io/output",
        "/site/dev/command/io",
        "/site/dev/command/io/output/x",
        "/site/dev/command//x",
    ],
)
def test_other_topics_are_not_commands(topic: str) -> None:
    assert TOPICS.command_in(topic) is None


@pytest.mark.parametrize(
    ("topic", "may"),
    [
        ("/elsewhere/answers", True),
        ("/a/result/c1", True),
        ("/a/telemetry/grid", False),
        ("/a/result/dev/command/io/output", False),  # the answer would be a command
        ("/a/result/dev/command", False),
    ],
)
def test_answers_go_where_they_are_neither_readings_nor_commands(topic: str, may: bool) -> None:
    assert Topics("/a", "/a/result/dev").may_answer_at(topic) is may


def test_own_answer_under_prefix_pub_is_no_command() -> None:
    own = Topics("/a", "/a/result")
    assert own.may_be_own(own.result("command"))
    assert not TOPICS.may_be_own("/site/dev/command")
    assert not own.may_be_own("/a/result/command/io/output")
