"""The shipped catalogue: every file is whole, every model can be read, and golden registers decode as published."""

import math
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ccm_bus_reader.catalogue import Catalog, load_catalog, shipped_files
from ccm_bus_reader.decode import decode
from ccm_bus_reader.plan import WireCost, plan
from ccm_bus_reader.profile import Point, Profile, catalog_model, profile_schema, resolution_of
from ccm_bus_reader.profile_source import load_profile_file
from ccm_contracts.metrics import METRICS
from ccm_kit.errors import BadInputError

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = [Path(str(file)) for file in shipped_files()]
CATALOG = load_catalog()
UNPROVEN = {line.split()[0] for line in (GOLDEN / "unproven.txt").read_text().splitlines() if line.strip()}
"""Families without registers from outside, with the reason after the name; this list may only shrink."""


def family_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=family_of)
def test_file_passes_the_careful_loader_and_the_schema(path: Path) -> None:
    profiles = load_profile_file(path)
    brand = path.parent.name
    assert {profile.id.partition("/")[0] for profile in profiles} == {brand}
    errors = list(Draft202012Validator(profile_schema()).iter_errors(yaml.safe_load(path.read_text())))
    assert [error.message for error in errors] == []


def test_index_of_names_has_every_model_once() -> None:
    models = [profile.id for path in FILES for profile in load_profile_file(path)]
    assert sorted(models) == CATALOG.ids


@pytest.mark.parametrize("model_id", CATALOG.ids)
def test_model_can_be_found_planned_and_shown(model_id: str) -> None:
    profile = CATALOG.find(model_id)
    assert profile.id == model_id
    assert {point.metric for point in profile.points} & {"p", "e_imp", "e_total", "p_bat", "soc"}
    limits = profile.limits
    blocks = plan(
        profile.points,
        WireCost.serial(profile.serial.baudrate),
        max_block=limits.max_block,
        unreadable=limits.unreadable,
        barriers=limits.barriers,
    )
    assert {p.metric for block in blocks for p in block.points} == {p.metric for p in profile.points}
    assert len(catalog_model(profile).points) == len(profile.points)


def extremes(point: Point) -> list[tuple[int, Decimal | None]]:
    """Raw bit patterns at the ends of an integer type, and what they mean."""
    width = 16 * point.registers
    top = 1 << (width - 1)
    raws = {0: 0, 1: 1}
    if point.type.startswith("s"):
        raws |= {top - 1: top - 1, top: -top, top + 1: -top + 1, 2 * top - 1: -1, 2 * top - 2: -2}
    else:
        raws |= {2 * top - 1: 2 * top - 1, 2 * top - 2: 2 * top - 2, top: top}
    is_counter = METRICS[point.metric].kind == "counter"
    meant = {bits: raw * point.scale + point.offset for bits, raw in raws.items()}
    if point.absolute or point.sign_register is not None:  # and that one reads 0 here, which means negative
        meant = {bits: abs(value) if point.absolute else -abs(value) for bits, value in meant.items()}
    return [
        (bits, None if bits in point.invalid or (is_counter and value < 0) else value)
        for bits, value in meant.items()
    ]


@pytest.mark.parametrize("model_id", CATALOG.ids)
def test_extreme_integers_decode_exactly_or_as_unknown(model_id: str) -> None:
    for point in CATALOG.find(model_id).points:
        if point.type in ("string", "bool", "f32", "f64") or METRICS[point.metric].kind == "text":
            continue
        for bits, expected in extremes(point) if point.scale_register is None else ():
            words = [bits >> 16 * n & 0xFFFF for n in reversed(range(point.registers))]
            if point.order in ("word-swapped", "little"):
                words.reverse()
            if point.order in ("byte-swapped", "little"):
                words = [(word & 0xFF) << 8 | word >> 8 for word in words]
            (block,) = plan([point], WireCost.tcp())
            places = range(point.address, point.end) if point.high is None else (point.high, point.address)
            held = dict(zip(places, words, strict=True))
            replied = [held.get(at, 0) for at in range(block.address, block.end)]
            value = decode(block, replied)[point.metric]
            step = resolution_of(point)
            wanted = expected if expected is None or step is None else float(expected)
            assert value == wanted, (point.metric, hex(bits))


def float_words(point: Point, number: float) -> list[int]:
    """The registers of a float in the point's own word order."""
    kind = ">f" if point.type == "f32" else ">d"
    words = list(struct.unpack(f">{point.registers}H", struct.pack(kind, number)))
    assert point.order in ("big", "word-swapped")
    return words[::-1] if point.order == "word-swapped" else words


@pytest.mark.parametrize("number", [0.0, 230.1, -1234.5, 98765.4, float("nan"), float("inf"), float("-inf")])
def test_floats_decode_to_their_resolution_or_as_unknown(number: float) -> None:
    floats = {
        (profile.id, point)
        for profile in CATALOG.models()
        for point in profile.points
        if point.type in ("f32", "f64") and point.scale_register is None
    }
    assert len(floats) > 100
    for model_id, point in floats:
        (block,) = plan([point], WireCost.tcp())
        before = [0] * (point.address - block.address)
        held = before + float_words(point, number) + [0] * block.count
        value = decode(block, held[: block.count])[point.metric]
        is_negative = number * float(point.scale) < 0 and METRICS[point.metric].kind == "counter"
        if is_negative or not math.isfinite(number):
            assert value is None, (model_id, point.metric)
            continue
        step = resolution_of(point)
        assert isinstance(value, int | float)
        assert step is not None
        wanted, tolerance = (
            number * float(point.scale),
            float(step) / 2 + abs(number * float(point.scale)) * 1e-7,
        )
        assert value == pytest.approx(wanted, abs=tolerance), (model_id, point.metric)


def golden_cases() -> list[Any]:
    return [
        pytest.param(path, case, id=f"{family_of(path)}-{case['what']}")
        for path in sorted(GOLDEN.glob("*/*.yaml"))
        for case in yaml.safe_load(path.read_text())["cases"]
    ]


@pytest.mark.parametrize(("path", "case"), golden_cases())
def test_golden_registers_decode_as_published(path: Path, case: dict[str, Any]) -> None:
    profile = CATALOG.find(case["model"])
    start = case["address"]
    words = [int(word, 16) for word in case["registers"].split()]
    held = tuple(
        point
        for point in profile.points
        if point.function == case["function"]
        and start <= point.span[0]
        and point.span[1] <= start + len(words)
    )
    (block,) = plan(held, WireCost.tcp(), max_block=125)
    values = decode(block, words[block.address - start :])
    assert {metric: values[metric] for metric in case["values"]} == case["values"]


def test_unproven_families_are_exactly_those_without_a_golden_file() -> None:
    proven = {family_of(path) for path in GOLDEN.glob("*/*.yaml")}
    families = {family_of(path) for path in FILES}
    assert proven <= families
    assert families - proven == UNPROVEN


def test_golden_files_name_their_source() -> None:
    for path in GOLDEN.glob("*/*.yaml"):
        assert len(yaml.safe_load(path.read_text())["source"]) > 8, path


def test_unknown_model_names_the_nearest_ones() -> None:
    with pytest.raises(BadInputError, match="did you mean eastron/sdm630") as caught:
        CATALOG.find("eastron/sdm-630")
    assert caught.value.field == "model"
    with pytest.raises(BadInputError, match="ccmaster catalog list"):
        CATALOG.find("nobody/nothing")


USER = """\
brand: acme
brand_name: Acme
type: meter
class: any
series: X
source: "Acme X protocol, page 3"
points: [{metric: p, function: 3, address: 0, type: s16}]
models:
  - {id: x1, model: X-1}
"""


def catalog_with(tmp_path: Path, **files: str) -> Catalog:
    (tmp_path / "mine").mkdir()
    for name, text in files.items():
        (tmp_path / "mine" / f"{name}.yaml").write_text(text)
    return load_catalog(tmp_path)


def test_own_profile_is_found_and_a_bad_one_is_only_reported(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, good=USER, bad=USER.replace("metric: p", "metric: zz"))
    assert catalog.find("acme/x1").points[0].metric == "p"
    (problem,) = catalog.problems
    assert "bad.yaml:7: points[0].metric: 'zz' is not a metric" in problem


def test_own_profile_replaces_the_shipped_one(tmp_path: Path) -> None:
    text = USER.replace("brand: acme", "brand: eastron").replace("id: x1", "id: sdm630")
    catalog = catalog_with(tmp_path, mine=text)
    assert catalog.find("eastron/sdm630").model == "X-1"
    assert len(catalog.models()) == len(CATALOG.ids)


def test_same_model_in_two_own_files_is_reported(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, a=USER, b=USER)
    assert catalog.problems == [
        f"{tmp_path}/mine/b.yaml: acme/x1 is defined by another file too; the first one counts"
    ]


def test_missing_user_folder_is_an_empty_one(tmp_path: Path) -> None:
    assert load_catalog(tmp_path / "none").problems == []


def test_native_family_is_what_the_gateway_counts_as_its_own() -> None:
    native: list[Profile] = [profile for profile in CATALOG.models() if profile.native]
    assert {profile.id for profile in native} == {
        f"energyccm/{name}" for name in ("ccm1-c", "ccm2", "ccm2-w", "ccm3", "ccm3-c", "ccm4")
    }
