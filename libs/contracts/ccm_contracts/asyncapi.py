"""The table of channels as an AsyncAPI 3.0 document: what a foreign client may read, send and expect.

Does not write files: `scripts/generate.py` turns the document into `docs/asyncapi.yaml`.
Specification: AsyncAPI 3.0.0, https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from ccm_contracts import mqtt_topics
from ccm_contracts.channels import CHANNELS, Bucket, Channel
from ccm_contracts.messages import Balance, Command, Reading, Result
from ccm_contracts.subjects import REQUEST
from ccm_contracts.verb_table import VERBS, Verb

Json = dict[str, Any]

PARAMETERS: Final = {
    "gw": "The gateway's serial number",
    "device": "The device's id in the configuration",
    "plant": "The plant's id in the configuration",
    "source": "The service that reports the event",
    "kind": "The kind of the event: a slug",
    "id": "The id of the thing whose state this is",
    "service": "The service that answers",
    "verb": "What it is asked to do",
    "command_id": "The `command_id` of the command that is answered",
    "prefix_sub": "Prefix SUB of the MQTT configuration, without its leading slash: under it the gateway publishes",
    "discovery_prefix": "`home_assistant.prefix` of the MQTT configuration",
    "thing": "`device-` and a device's id, or `plant-` and a plant's",
    "group_id": "`sparkplug.group_id` of the MQTT configuration",
    "sparkplug_kind": "NBIRTH, NDATA, NDEATH, DBIRTH, DDATA or DDEATH",
    "prefix_pub": "Prefix PUB of the MQTT configuration, without its leading slash: under it the gateway listens",
}
"""What each variable of an address stands for."""

NATS_QUEUE_GROUP: Final = "q"
"""Replicas of a service share its requests: the default group of NATS services (ADR-32 of NATS)."""

_REF_TEMPLATE: Final = "#/components/schemas/{model}"
_VARIABLE: Final = re.compile(r"\{(\w+)\}")


def document(version: str) -> Json:
    """The whole document for release `version`; the same input gives the same document, in the same order."""
    schemas = _Schemas()
    channels: Json = {}
    operations: Json = {}
    for channel in CHANNELS:
        channels[channel.name] = _kept_channel(channel, schemas)
        operations |= _kept_operations(channel)
    for verb in VERBS:
        channels |= _verb_channels(verb, schemas)
        operations |= _verb_operations(verb)
    for topic in mqtt_topics.TOPICS:
        channels[topic.name] = _topic_channel(topic, schemas)
        operations[topic.name] = _topic_operation(topic)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CcMaster",
            "version": version,
            "description": "What crosses the bus of a CcMaster gateway (NATS with JetStream), and what it publishes"
            " to MQTT. Unknown fields are to be ignored; a released field keeps its name and unit.",
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": channels,
        "operations": operations,
        "components": {"messages": schemas.messages, "schemas": schemas.schemas},
    }


def _servers() -> Json:
    return {
        "bus": {
            "host": "127.0.0.1:4222",
            "protocol": "nats",
            "description": "The gateway's bus; each service has a credential of its own, limited to its subjects",
            "security": [{"type": "userPassword"}],
        },
        "mqtt": {
            "host": "{host}:{port}",
            "protocol": "mqtt",
            "protocolVersion": "3.1.1",
            "description": "The broker of the MQTT configuration",
            "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "1883"}},
            "security": [{"type": "userPassword"}],
        },
    }


class _Schemas:
    """Collects each model once: as a message, and as schemas that refer to each other."""

    def __init__(self) -> None:
        adapters: dict[str, TypeAdapter[Any]] = {channel.name: channel.adapter for channel in CHANNELS}
        for verb in (*VERBS, mqtt_topics.CONFIG_READ):
            adapters[f"{verb.name}.request"] = TypeAdapter(Command[verb.args])  # type: ignore[name-defined]
            adapters[f"{verb.name}.reply"] = TypeAdapter(Result[verb.result])  # type: ignore[name-defined]
        adapters["telemetry-batch"] = TypeAdapter(list[Reading])
        adapters["plant-batch"] = TypeAdapter(list[Balance])
        adapters["mqtt-status"] = TypeAdapter(mqtt_topics.Status)
        adapters["home-assistant-device"] = TypeAdapter(mqtt_topics.HomeAssistantDevice)
        by_key, common = TypeAdapter.json_schemas(
            [(key, "validation", adapter) for key, adapter in adapters.items()], ref_template=_REF_TEMPLATE
        )
        self.schemas: Json = _draft_7(common["$defs"])
        self.messages: Json = {
            key: {"name": key, "title": _title(key), "payload": _draft_7(by_key[(key, "validation")])}
            for key in adapters
        }
        self.messages["sparkplug"] = {
            "name": "sparkplug",
            "title": "Sparkplug B payload",
            "contentType": "application/x-protobuf",
            "summary": "org.eclipse.tahu.protobuf.Payload (Eclipse Sparkplug 3.0, section 6.4)",
        }


def _title(key: str) -> str:
    return key.replace("-", " ").replace(".", " ").capitalize()


def _draft_7(schema: Any) -> Any:
    """AsyncAPI's schema object is JSON Schema draft 7, which writes a tuple as a list of `items`."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _draft_7(value) for key, value in schema.items()}
    if "prefixItems" in plain:
        plain["items"] = plain.pop("prefixItems")
    return plain


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)}


def _parameters(address: str) -> Json:
    return {name: {"description": PARAMETERS[name]} for name in _VARIABLE.findall(address)}


def _channel(address: str | None, summary: str, server: str, messages: Iterable[str], **more: Any) -> Json:
    filled: Json = {"address": address, "summary": summary, "servers": [_ref("servers", server)]}
    if address is not None and (parameters := _parameters(address)):
        filled["parameters"] = parameters
    filled["messages"] = {key: _ref("components", "messages", key) for key in messages}
    return filled | more


def _operation(action: str, channel: str, summary: str, **more: Any) -> Json:
    return {"action": action, "channel": _ref("channels", channel), "summary": summary, **more}


def _address(pattern: str, fixed: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: fixed.get(match[1], match[0]), pattern)


def _kept_channel(channel: Channel[Any], schemas: _Schemas) -> Json:
    kept = channel.kept_in
    limits: Json = {"max_message_bytes": channel.max_message, "max_bytes": kept.max_bytes}
    if isinstance(kept, Bucket):
        where: Json = {"x-bucket": kept.name, "x-limits": limits | {"history": kept.history}}
    else:
        ages = {"max_age_s": kept.max_age_s, "duplicate_window_s": kept.duplicate_window_s}
        where = {"x-stream": kept.name, "x-limits": limits | ages}
    assert channel.name in schemas.messages
    return _channel(_address(channel.pattern, channel.fixed), channel.summary, "bus", [channel.name], **where)


def _kept_operations(channel: Channel[Any]) -> Json:
    writing = {
        f"{owner}.sends.{channel.name}": _operation("send", channel.name, f"{owner}: {channel.summary}")
        for owner in channel.owners
    }
    reading = {
        f"{reader}.receives.{channel.name}": _operation(
            "receive", channel.name, f"{reader}: {channel.summary}"
        )
        for reader in channel.readers
    }
    return writing | reading


def _verb_channels(verb: Verb[Any, Any], schemas: _Schemas) -> Json:
    address = _address(REQUEST, {"service": verb.service, "verb": verb.verb})
    request, reply = f"{verb.name}.request", f"{verb.name}.reply"
    assert {request, reply} <= schemas.messages.keys()
    more = {"x-mutates": verb.mutates, "x-timeout-s": verb.timeout_s}
    return {
        verb.name: _channel(address, verb.summary, "bus", [request], **more),
        reply: _channel(None, f"The answer, at the request's reply subject: {verb.summary}", "bus", [reply]),
    }


def _verb_operations(verb: Verb[Any, Any]) -> Json:
    reply = {"channel": _ref("channels", f"{verb.name}.reply")}
    queue = {"nats": {"queue": NATS_QUEUE_GROUP, "bindingVersion": "0.1.0"}}
    answering = _operation(
        "receive", verb.name, f"{verb.service}: {verb.summary}", bindings=queue, reply=reply
    )
    asking = {
        f"{caller}.calls.{verb.name}": _operation("send", verb.name, f"{caller}: {verb.summary}", reply=reply)
        for caller in verb.callers
    }
    return {f"{verb.service}.answers.{verb.verb}": answering} | asking


def _topic_channel(topic: mqtt_topics.Topic, schemas: _Schemas) -> Json:
    assert set(topic.messages) <= schemas.messages.keys()
    return _channel(topic.address, topic.summary, "mqtt", topic.messages)


def _topic_operation(topic: mqtt_topics.Topic) -> Json:
    bindings = {"mqtt": {"qos": 1, "retain": topic.retained, "bindingVersion": "0.2.0"}}
    return _operation(topic.action, topic.name, f"uplink: {topic.summary}", bindings=bindings)
