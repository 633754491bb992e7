"""Discovery messages against Home Assistant's own rules, transcribed from home-assistant/core.

`components/mqtt/schemas.py` at 0f5c1b5 (DEVICE_DISCOVERY_SCHEMA and what it uses) and `components/sensor/const.py` at
00eb668 (DEVICE_CLASS_UNITS, DEVICE_CLASS_STATE_CLASSES). The package itself is too large to install for a test;
all metrics and a plant were run through DEVICE_DISCOVERY_SCHEMA and the sensor's DISCOVERY_SCHEMA of
homeassistant 2025.4.4: each of the 146 components was taken, with unit and state class as its device class has them.
"""

import json
from typing import Any

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_contracts.metrics import METRICS
from ccm_uplink.home_assistant import Origin, config_topic, device_config, plant_config
from ccm_uplink.topics import Topics

TOP = {
    "device",
    "components",
    "origin",
    "state_topic",
    "command_topic",
    "qos",
    "encoding",
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "payload_available",
    "payload_not_available",
}
DEVICE = {
    "identifiers",
    "connections",
    "manufacturer",
    "model",
    "name",
    "hw_version",
    "serial_number",
    "sw_version",
    "via_device",
    "suggested_area",
    "configuration_url",
}
ORIGIN = {"name", "sw_version", "support_url"}
UNITS: dict[str, set[str | None]] = {
    "apparent_power": {"mVA", "VA", "kVA"},
    "battery": {"%"},
    "current": {"A", "mA"},
    "energy": {"Wh", "kWh", "MWh"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "power": {"W", "kW", "MW", "GW", "TW"},
    "power_factor": {"%", None},
    "reactive_power": {"var", "mvar", "kvar"},
    "temperature": {"°C", "°F", "K"},
    "voltage": {"V", "mV", "μV", "kV", "MV"},
}
STATE_CLASSES = {"energy": {"total", "total_increasing"}}
TOPICS = Topics("/site/srv", "/site/dev")
ORIGINATOR = Origin("CCM000042", "0.1.0")


def valid(message: bytes) -> dict[str, Any]:
    """The components, if Home Assistant takes the message."""
    config: dict[str, Any] = json.loads(message)
    assert config.keys() <= TOP
    assert {"device", "components", "origin"} <= config.keys()
    assert config["device"].keys() <= DEVICE
    assert config["device"]["identifiers"]
    assert config["origin"].keys() <= ORIGIN
    assert config["origin"]["name"]
    assert config["qos"] in (0, 1, 2)
    for name, sensor in config["components"].items():
        assert sensor["platform"] == "sensor"
        device_class = sensor.get("device_class")
        if device_class:
            assert sensor.get("unit_of_measurement") in UNITS[device_class], name
            assert sensor["state_class"] in STATE_CLASSES.get(device_class, {"measurement"}), name
    ids = [sensor["unique_id"] for sensor in config["components"].values()]
    assert len(ids) == len(set(ids))
    components: dict[str, Any] = config["components"]
    return components


def test_every_metric_of_the_vocabulary_is_valid() -> None:
    components = valid(device_config(ORIGINATOR, TOPICS, "grid", "Grid", "energyccm/ccm4", METRICS.keys()))
    assert components.keys() == METRICS.keys()
    energy = components["e_imp"]
    assert (energy["device_class"], energy["state_class"], energy["unit_of_measurement"]) == (
        "energy",
        "total_increasing",
        "kWh",
    )
    assert components["e_imp"]["unique_id"] == "ccm_CCM000042_device-grid_e_imp"
    assert components["soc"]["device_class"] == "battery"
    assert "device_class" not in components["eq_imp"]  # Home Assistant's energy is active energy
    assert "state_class" not in components["fault"]


def test_state_and_availability_are_where_the_gateway_publishes() -> None:
    config = json.loads(device_config(ORIGINATOR, TOPICS, "grid", "", "", {"p"}))
    assert config["state_topic"] == "/site/srv/telemetry/grid"
    assert config["availability_topic"] == "/site/srv/status"
    assert config["device"]["name"] == "grid"
    assert config["components"]["p"]["value_template"] == "{{ value_json['values']['p'] }}"


def test_plant_is_valid() -> None:
    components = valid(plant_config(ORIGINATOR, TOPICS, "house", "House"))
    assert components["p_grid"]["unit_of_measurement"] == "W"


def test_topic_has_the_form_of_device_discovery() -> None:
    """`<prefix>/device/<object id>/config`, the id of letters, digits, `_` and `-`."""
    topic = config_topic("homeassistant", ORIGINATOR, "device-grid")
    assert topic == "homeassistant/device/ccm-CCM000042-device-grid/config"


@pytest.mark.parametrize("more", [{"batch": {"enabled": True}}, {"compression": "gzip"}])
def test_messages_that_it_cannot_read_are_refused_together_with_it(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="switch batch and compression off"):
        Mqtt.model_validate({"home_assistant": {"enabled": True}, **more})
