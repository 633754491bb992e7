"""Home Assistant's MQTT discovery of a device and of a plant. Pure.

One message a device (device discovery), retained; an empty one removes it. Facts: home-assistant/core,
`components/mqtt/schemas.py` (DEVICE_DISCOVERY_SCHEMA) and `components/sensor/const.py` (which units and state classes
a device class may have); https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccm_contracts.metrics import METRICS, Metric
from ccm_uplink.topics import Topics

_CLASSES: Final = {
    "V": "voltage",
    "A": "current",
    "W": "power",
    "var": "reactive_power",
    "VA": "apparent_power",
    "Hz": "frequency",
    "kWh": "energy",
    "°C": "temperature",
}
"""Device class by unit; the other units of the vocabulary (kvarh, kVAh, %) have none that fits."""

_BALANCE: Final = {
    "p_prod": "Production",
    "p_grid": "Grid",
    "p_load": "Consumption",
    "p_self": "Self-consumed",
    "p_exp": "Export",
    "p_imp": "Import",
    "p_bat": "Battery",
}
"""The powers of a plant's balance, W."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who discovers: the gateway and its software."""

    gateway: str
    version: str


def config_topic(prefix: str, origin: Origin, what: str) -> str:
    """Where Home Assistant looks for the device; `what` is `device-{id}` or `plant-{id}`."""
    return f"{prefix}/device/ccm-{origin.gateway}-{what}/config"


def device_config(
    origin: Origin, topics: Topics, device: str, alias: str, model: str, metrics: Collection[str]
) -> bytes:
    """A device with the metrics that it was seen to have."""
    known = [METRICS[name] for name in METRICS if name in metrics]
    sensors = {metric.name: _sensor(metric) for metric in known}
    state = f"{topics.prefix_sub}/telemetry/{device}"
    return _message(
        origin, topics, f"device-{device}", {"name": alias or device, "model": model}, state, sensors
    )


def plant_config(origin: Origin, topics: Topics, plant: str, alias: str) -> bytes:
    """A plant's balance."""
    sensors = {
        name: {
            "name": label,
            "device_class": "power",
            "state_class": "measurement",
            "unit_of_measurement": "W",
            "value_template": f"{{{{ value_json.{name} }}}}",
        }
        for name, label in _BALANCE.items()
    }
    state = f"{topics.prefix_sub}/plant/{plant}"
    about = {"name": alias or plant, "model": "Self-consumption plant"}
    return _message(origin, topics, f"plant-{plant}", about, state, sensors)


def _sensor(metric: Metric) -> dict[str, Any]:
    sensor: dict[str, Any] = {
        "name": metric.label,
        "value_template": f"{{{{ value_json['values']['{metric.name}'] }}}}",
    }
    if metric.kind == "text":
        return {**sensor, "entity_category": "diagnostic"}
    device_class = "battery" if metric.name == "soc" else _CLASSES.get(metric.unit)
    if metric.unit == "" and metric.name.startswith("pf"):
        device_class = "power_factor"
    if device_class == "energy" or metric.kind == "counter":
        # A daily counter falls back to 0 at midnight: for total_increasing that is a new cycle.
        sensor["state_class"] = "total_increasing"
    else:
        sensor["state_class"] = "measurement"
    if device_class:
        sensor["device_class"] = device_class
    if metric.unit:
        sensor["unit_of_measurement"] = metric.unit
    return sensor


def _message(
    origin: Origin,
    topics: Topics,
    what: str,
    about: Mapping[str, str],
    state_topic: str,
    sensors: Mapping[str, dict[str, Any]],
) -> bytes:
    identifier = f"ccm_{origin.gateway}_{what}"
    components = {
        name: {"platform": "sensor", "unique_id": f"{identifier}_{name}", **sensor}
        for name, sensor in sensors.items()
    }
    config = {
        "device": {
            "identifiers": [identifier],
            "manufacturer": "CcMaster",
            **{key: value for key, value in about.items() if value},
        },
        "origin": {"name": "CcMaster", "sw_version": origin.version},
        "state_topic": state_topic,
        "availability_topic": topics.status,
        "availability_template": "{{ 'online' if value_json.online else 'offline' }}",
        "qos": 1,
        "components": components,
    }
    return json.dumps(config, ensure_ascii=False).encode()
