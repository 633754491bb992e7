"""Sparkplug B payloads against bytes that another implementation wrote.

The expected bytes are what the protobuf runtime made of the same values with the generated module of pysparkplug 0.6.1
(its dependencies forbid our paho-mqtt, so it is no test dependency).
"""

from pathlib import Path

import pytest

from ccm_uplink.sinks.mqtt_sparkplug import Births, silent_s
from ccm_uplink.sparkplug import (
    BD_SEQ,
    BOOLEAN,
    DOUBLE,
    REBIRTH,
    STRING,
    UINT64,
    Node,
    SparkplugMetric,
    asks_for_rebirth,
    payload,
)

TS_MS = 1_777_636_800_123
REBIRTH_COMMAND = bytes.fromhex("0801121a0a144e6f646520436f6e74726f6c2f52656269727468200b7001")


def test_payload_is_what_the_protobuf_runtime_writes() -> None:
    metrics = [
        SparkplugMetric(UINT64, 300, BD_SEQ),
        SparkplugMetric(BOOLEAN, False, REBIRTH),
        SparkplugMetric(DOUBLE, -230.5, "v1", 7, TS_MS),
        SparkplugMetric(STRING, "rün", "status", 8),
        SparkplugMetric(DOUBLE, None, "p", 9),
    ]
    assert payload(TS_MS, metrics, 255).hex() == (
        "08fbeca39bde33120c0a056264536571200858ac02121a0a144e6f646520436f6e74726f6c2f52656269727468200b7000"
        "12180a027631100718fbeca39bde33200a690000000000d06cc012120a067374617475731008200c7a0472c3bc6e"
        "12090a01701009200a380118ff01"
    )


def test_rebirth_is_recognised() -> None:
    assert asks_for_rebirth(REBIRTH_COMMAND)
    assert not asks_for_rebirth(REBIRTH_COMMAND[:-1] + b"\x00")
    assert not asks_for_rebirth(payload(TS_MS, [SparkplugMetric(DOUBLE, 1.0, REBIRTH)], 0))


@pytest.mark.parametrize("data", [b"\x80", b"\x12\x7f", b"not a payload", b"\x0b"])
def test_what_is_no_payload_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="Sparkplug"):
        asks_for_rebirth(data)


def test_device_that_is_published_seldom_is_not_dead_in_between() -> None:
    assert silent_s(10) == 300
    assert silent_s(3600) > 2 * 3600


def test_topics_have_the_form_of_the_specification() -> None:
    """Sparkplug 3.0.0 section 4.1: `spBv1.0/group/type/node[/device]`."""
    node = Node("ccm", "CCM000042")
    assert node.topic("NBIRTH") == "spBv1.0/ccm/NBIRTH/CCM000042"
    assert node.topic("DDATA", "grid") == "spBv1.0/ccm/DDATA/CCM000042/grid"


def test_number_of_a_birth_is_one_more_after_a_restart_and_wraps(tmp_path: Path) -> None:
    """Sparkplug 3.0.0, tck-id-topics-nbirth-bdseq-increment: also when the process before was killed."""
    memory = tmp_path / "births"
    assert [Births(memory).next() for _ in range(3)] == [0, 1, 2]
    memory.write_text("255")
    assert Births(memory).next() == 0
    memory.write_text("torn \0")
    assert Births(memory).next() == 0
    assert [Births(tmp_path / "no" / "births").next() for _ in range(2)] == [0, 0]
