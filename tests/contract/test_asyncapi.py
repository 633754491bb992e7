"""The AsyncAPI document: sound in itself, complete against the channel table, and the same each time."""

import json
import re
from typing import Any

import jsonschema
import pytest

from ccm_contracts import mqtt_topics
from ccm_contracts.asyncapi import document
from ccm_contracts.channels import CHANNELS
from ccm_contracts.verb_table import VERBS

DOCUMENT = document("0.1.0")

# The fixed parts of https://www.asyncapi.com/docs/reference/specification/v3.0.0 that the document uses: each
# object's required fields and all fields that it may have (x- aside).
ROOT = (
    {"asyncapi", "info"},
    {"asyncapi", "info", "servers", "defaultContentType", "channels", "operations", "components"},
)
SERVER = (
    {"host", "protocol"},
    {
        "host",
        "protocol",
        "protocolVersion",
        "pathname",
        "description",
        "title",
        "summary",
        "variables",
        "security",
    },
)
CHANNEL = (
    set[str](),
    {"address", "messages", "title", "summary", "description", "servers", "parameters", "tags", "bindings"},
)
OPERATION = (
    {"action", "channel"},
    {"action", "channel", "title", "summary", "description", "bindings", "messages", "reply", "tags"},
)
MESSAGE = (
    set[str](),
    {"headers", "payload", "contentType", "name", "title", "summary", "description", "bindings"},
)


def refs_in(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(refs_in(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(refs_in(value) for value in node))
    return set()


def resolve(ref: str) -> Any:
    node: Any = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        node = node[part]
    return node


def faults_of(node: dict[str, Any], rule: tuple[set[str], set[str]]) -> set[str]:
    required, known = rule
    return (required - node.keys()) | {key for key in node if key not in known and not key.startswith("x-")}


def test_every_object_has_the_fields_of_the_specification() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert faults_of(DOCUMENT, ROOT) == set()
    objects = [(server, SERVER) for server in DOCUMENT["servers"].values()]
    objects += [(channel, CHANNEL) for channel in DOCUMENT["channels"].values()]
    objects += [(operation, OPERATION) for operation in DOCUMENT["operations"].values()]
    objects += [(message, MESSAGE) for message in DOCUMENT["components"]["messages"].values()]
    assert [faults_of(node, rule) for node, rule in objects if faults_of(node, rule)] == []
    assert {operation["action"] for operation in DOCUMENT["operations"].values()} == {"send", "receive"}


def test_component_names_are_of_the_allowed_form() -> None:
    names = [*DOCUMENT["components"]["messages"], *DOCUMENT["components"]["schemas"]]
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []


def test_every_reference_leads_somewhere() -> None:
    for ref in refs_in(DOCUMENT):
        resolve(ref)


def test_every_schema_is_draft_7() -> None:
    schemas = [*DOCUMENT["components"]["schemas"].values()]
    schemas += [
        message["payload"] for message in DOCUMENT["components"]["messages"].values() if "payload" in message
    ]
    for schema in schemas:
        jsonschema.Draft7Validator.check_schema(schema)
    assert "prefixItems" not in json.dumps(DOCUMENT)
    assert "$defs" not in json.dumps(DOCUMENT)


def test_parameters_are_those_of_the_address() -> None:
    for channel in DOCUMENT["channels"].values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert named == channel.get("parameters", {}).keys()


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_channel_is_documented_with_owners_and_readers(channel: Any) -> None:
    described = DOCUMENT["channels"][channel.name]
    assert described.keys() & {"x-stream", "x-bucket"}
    at = {"$ref": f"#/channels/{channel.name}"}
    by_action: dict[str, list[str]] = {"send": [], "receive": []}
    for name, operation in DOCUMENT["operations"].items():
        if operation["channel"] == at:
            by_action[operation["action"]].append(name.partition(".")[0])
    assert sorted(by_action["send"]) == sorted(channel.owners)
    assert sorted(by_action["receive"]) == sorted(channel.readers)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_verb_is_documented_with_its_reply(verb: Any) -> None:
    assert DOCUMENT["channels"][verb.name]["address"] == verb.subject().replace(".*.", ".{gw}.")
    answering = DOCUMENT["operations"][f"{verb.service}.answers.{verb.verb}"]
    reply = resolve(answering["reply"]["channel"]["$ref"])
    assert reply["address"] is None
    assert f"{verb.name}.reply" in reply["messages"]
    for caller in verb.callers:
        assert DOCUMENT["operations"][f"{caller}.calls.{verb.name}"]["action"] == "send"


def test_mqtt_topics_are_those_of_the_design() -> None:
    topics = {
        channel["address"]: key
        for key, channel in DOCUMENT["channels"].items()
        if {"$ref": "#/servers/mqtt"} in channel["servers"]
    }
    assert set(topics) == {
        "/{prefix_sub}/telemetry/{device}",
        "/{prefix_sub}/plant/{plant}",
        "/{prefix_sub}/batch/telemetry",
        "/{prefix_sub}/batch/plant",
        "/{prefix_sub}/event/{source}/{kind}",
        "/{prefix_sub}/status",
        "/{prefix_pub}/command/{service}/{verb}",
        "/{prefix_sub}/result/{command_id}",
        "{discovery_prefix}/device/ccm-{gw}-{thing}/config",
        "spBv1.0/{group_id}/{sparkplug_kind}/{gw}/{device}",
        "spBv1.0/{group_id}/NCMD/{gw}",
    }
    retained = {topic.name for topic in mqtt_topics.TOPICS if topic.retained}
    assert retained == {topics["/{prefix_sub}/status"], "mqtt-home-assistant"}


def test_schema_of_a_message_accepts_a_message_and_refuses_another() -> None:
    payload = DOCUMENT["components"]["messages"]["telemetry"]["payload"]
    schema = {**payload, "components": DOCUMENT["components"]}
    good = {
        "gateway": "GW1",
        "device": "grid",
        "ts": "2026-05-01T12:00:00.000Z",
        "values": {"p": 1},
        "seq": 1,
    }
    jsonschema.Draft7Validator(schema).validate(good)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**good, "seq": -1})


def test_document_is_the_same_each_time() -> None:
    assert json.dumps(document("0.1.0")) == json.dumps(DOCUMENT)
