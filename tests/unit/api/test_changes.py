"""What a configuration would change, told field by field."""

from typing import Any

from ccm_api.changes import MOST_CHANGES, changes_between
from ccm_contracts.config.document import Document

GRID = {"id": "grid", "port": "ext", "model": "eastron/sdm630", "unit": 1}
ROOF = {"id": "roof", "port": "ext", "model": "goodwe/dns", "unit": 100}
BEFORE = {
    "ports": [{"id": "ext", "kind": "rs485", "path": "/dev/ttyUSB0"}],
    "devices": [GRID, ROOF],
    "mqtt": {"host": "mqtt://192.0.2.9", "password": "old secret"},
}


def told(after: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    changes = changes_between(Document.model_validate(BEFORE), Document.model_validate({**BEFORE, **after}))
    return [(each.field, each.kind, each.before, each.after) for each in changes]


def test_same_document_changes_nothing() -> None:
    assert told({}) == []


def test_fields_are_named_by_section_member_and_field() -> None:
    changed = {"devices": [GRID, {**ROOF, "poll_s": 5}], "timezone": "Europe/Madrid"}
    assert told(changed) == [
        ("devices.roof.poll_s", "changed", 1.0, 5.0),
        ("timezone", "changed", "UTC", "Europe/Madrid"),
    ]


def test_members_come_and_go_by_their_ids() -> None:
    (gone, come) = told({"devices": [GRID, {**ROOF, "id": "barn", "unit": 101}]})
    assert (gone[:2], gone[2]["unit"], gone[3]) == (("devices.roof", "removed"), 100, None)
    assert (come[:2], come[2], come[3]["unit"]) == (("devices.barn", "added"), None, 101)


def test_other_order_is_told_as_such() -> None:
    assert told({"devices": [ROOF, GRID]}) == [
        ("devices", "reordered", ["grid", "roof"], ["roof", "grid"]),
    ]


def test_another_secret_is_a_change_and_stays_masked() -> None:
    mqtt = {"host": "mqtt://192.0.2.9", "password": "new secret"}
    assert told({"mqtt": mqtt}) == [("mqtt.password", "changed", "********", "********")]


def test_a_flood_of_changes_ends() -> None:
    many = [{**GRID, "id": f"d{n}", "host": f"h{n}", "port": None} for n in range(MOST_CHANGES + 5)]
    assert len(told({"devices": many})) == MOST_CHANGES
