"""The catalogue against the simulated devices, whose register maps were written apart from it."""

import math

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.decode import decode
from ccm_bus_reader.plan import WireCost, plan
from ccm_bus_reader.point import Point, resolution_of
from ccm_contracts.metrics import METRICS
from ccm_sim.devices import MAPS
from ccm_sim.encoding import RegisterMap, Row, image, seen

CATALOG = load_catalog()
MODELS = {
    "energyccm/ccm4": "ccm4",
    "eastron/sdm630": "sdm630",
    "goodwe/dns": "goodwe-dns",
    "huawei/sun2000": "sun2000",
}


def sample(row: Row, index: int, *, negative: bool) -> float | str:
    """A value that no other row has, within every register type."""
    if row.type == "str":
        return f"SN{index:04d}"
    if row.step_wh:
        return (index + 1) * 10_007 * row.step_wh
    number = 20 + index + 0.4
    return -number if negative and row.type in ("s16", "s32", "f32") else number


def rows_of(model: RegisterMap) -> list[Row]:
    return [row for row in (*model.holding, *model.inputs) if row.name in METRICS]


def decoded(model_id: str, model: RegisterMap, values: dict[str, float | str | None]) -> dict[str, object]:
    profile = CATALOG.find(model_id)
    out: dict[str, object] = {}
    memory = {function: image(model.rows(function), values, model.marks) for function in (3, 4)}
    for block in plan(profile.points, WireCost.serial(9600), max_block=profile.limits.max_block):
        held = memory[block.function]
        out |= decode(block, [held.get(block.address + n, 0) for n in range(block.count)])
    return out


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(("model_id", "kind"), MODELS.items())
def test_each_shared_metric_has_the_value_that_the_device_holds(
    model_id: str, kind: str, negative: bool
) -> None:
    model = MAPS[kind]
    points = {point.metric: point for point in CATALOG.find(model_id).points}
    rows = [row for row in rows_of(model) if row.name in points and METRICS[row.name].kind != "text"]
    values: dict[str, float | str | None] = {
        row.name: sample(row, index, negative=negative) for index, row in enumerate(rows)
    }
    answers = decoded(model_id, model, values)
    assert len(rows) > 8
    for row in rows:
        held, answer = seen(row, values[row.name]), answers[row.name]
        assert isinstance(held, int | float), row.name
        assert isinstance(answer, int | float), row.name
        assert math.isclose(answer, held, abs_tol=_half_step(points[row.name])), row.name


def _half_step(point: Point) -> float:
    step = resolution_of(point)
    return 0.0 if step is None else float(step) / 2 + 1e-9


@pytest.mark.parametrize(("model_id", "kind"), [each for each in MODELS.items() if each[1] != "sdm630"])
def test_not_available_is_unknown(model_id: str, kind: str) -> None:
    answers = decoded(model_id, MAPS[kind], {})
    shared = {row.name for row in rows_of(MAPS[kind])} & set(answers)
    assert {name: answers[name] for name in shared if METRICS[name].kind != "text"} == dict.fromkeys(
        name for name in shared if METRICS[name].kind != "text"
    )


@pytest.mark.parametrize(("model_id", "kind"), MODELS.items())
def test_catalogue_knows_every_metric_that_the_device_has(model_id: str, kind: str) -> None:
    known = {point.metric for point in CATALOG.find(model_id).points}
    rated = {"p_max"}  # what the simulated SUN2000 calls so is its rated maximum, not a demand
    assert {row.name for row in rows_of(MAPS[kind])} - known - rated == set()
