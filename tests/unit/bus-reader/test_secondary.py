"""Secondary devices: their registers as the principal shows them (docs/ccm-modbus-map.md)."""

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.layout import layout_of
from ccm_bus_reader.secondary import behind
from ccm_contracts.config.document import Document, problems_of
from ccm_kit.errors import BadInputError

CATALOG = load_catalog()
CCM4, CCM1C = CATALOG.find("energyccm/ccm4"), CATALOG.find("energyccm/ccm1-c")
PORT = {"id": "native", "kind": "rs485", "path": "/dev/ttyT0", "role": "native"}
GRID = {"id": "grid", "port": "native", "model": "energyccm/ccm4", "unit": 1}


def secondary(**changes: object) -> dict[str, object]:
    device: dict[str, object] = {"id": "cellar", "port": "native", "model": "energyccm/ccm1-c", "unit": 1}
    return device | {"secondary": {"via": "grid", "index": 2}} | changes


def document(*devices: dict[str, object]) -> Document:
    return Document.model_validate({"ports": [PORT], "devices": devices})


def test_registers_of_the_second_one_begin_at_1100() -> None:
    moved = {point.metric: point.address for point in behind(CCM1C, CCM4, 2).points}
    assert moved["serial"] == 1100
    assert moved["v1"] == 1116


def test_who_has_no_window_is_refused() -> None:
    with pytest.raises(BadInputError, match="has no secondary devices"):
        behind(CCM1C, CATALOG.find("eastron/sdm630"), 1)


def test_secondary_shares_the_unit_of_its_principal() -> None:
    both = document(GRID, secondary())
    assert problems_of(both) == []
    lines, troubles = layout_of(both, CATALOG)
    assert troubles == []
    assert [member.config.id for member in lines["native"].members] == ["grid", "cellar"]


def test_secondary_elsewhere_or_twice_is_refused_with_its_field() -> None:
    elsewhere = problems_of(document(GRID, secondary(unit=2)))
    assert [each.field for each in elsewhere] == ["devices[1].secondary.via"]
    lost = problems_of(document(GRID, secondary(secondary={"via": "nobody", "index": 1})))
    assert [each.message for each in lost] == ["there is no device nobody"]
    twice = problems_of(document(GRID, secondary(), secondary(id="attic")))
    assert [each.field for each in twice] == ["devices[2].unit"]


def test_secondaries_do_not_count_as_principals() -> None:
    principals = [dict(GRID, id=f"p{unit}", unit=unit) for unit in range(1, 33)]
    behind_one = secondary(secondary={"via": "p1", "index": 1})
    assert problems_of(document(*principals, behind_one)) == []
