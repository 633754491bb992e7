"""A wrong profile is refused with file, line and field; what its models add and drop."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from ccm_bus_reader.profile import Profile, catalog_model, profile_schema
from ccm_bus_reader.profile_source import load_profile_file, parse_profiles
from ccm_kit.errors import BadInputError

GOOD = """\
brand: acme
brand_name: Acme
type: meter
class: three-phase
series: X
source: "Acme X protocol, https://example.com/x.pdf"
limits: {max_block: 40, unreadable: [[100, 110]], barriers: [50]}
defaults: {function: 3, type: u16}
invalid: {u16: [0xFFFF]}
points:
  - {metric: v1, address: 0, scale: 0.1, unit: V}
  - {metric: v2, address: 1, scale: 0.1}
  - {metric: p, address: 10, type: s32}
models:
  - id: x1
    model: X-1
    drop: [v2]
  - id: x3
    model: X-3
    points:
      - {metric: p, address: 12, type: f32}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_models_drop_add_and_replace(tmp_path: Path) -> None:
    x1, x3 = load_profile_file(write(tmp_path, GOOD))
    assert (x1.id, [p.metric for p in x1.points]) == ("acme/x1", ["v1", "p"])
    assert [(p.metric, p.type) for p in x3.points] == [("v1", "u16"), ("v2", "u16"), ("p", "f32")]
    assert x1.points[0].invalid == (0xFFFF,)
    assert x1.points[1].invalid == ()
    assert x1.protocol == "modbus-rtu"


def test_quick_and_careful_loaders_agree(tmp_path: Path) -> None:
    assert parse_profiles(GOOD, Path("x.yaml")) == load_profile_file(write(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("metric: v2", "metric: vv2", "12: points[1].metric: 'vv2' is not a metric of the vocabulary"),
        ("metric: v2", "metric: v1", "12: points[1].metric: 'v1' is given twice"),
        ("series: X\n", "series: X\nprotocol: modbus-rtu\n", "6: protocol: must be a list, such as [a, b]"),
        (
            "address: 1,",
            "address: 70000,",
            "12: points[1].address: input should be less than or equal to 65535",
        ),
        ("address: 1,", "address: -1,", "12: points[1].address: input should be greater than or equal to 0"),
        (
            "address: 10, type: s32",
            "address: 10, type: s33",
            "13: points[2].type: input should be 'bool', 'u16'",
        ),
        ("address: 12, type: f32", "address: 1, type: f32", "21: models[1].points[0].address: p overlaps v2"),
        ("address: 10, type: s32", "address: 49, type: s32", "13: points[2]: p crosses a barrier"),
        ("address: 10, type: s32", "address: 99, type: s32", "13: points[2]: p lies in an unreadable range"),
        ("unit: V", "unit: mV", "11: points[0]: v1: unit 'mV' is not the vocabulary's 'V': scale to that"),
        ("unit: V", "colour: red", "11: points[0].colour: is not a known field"),
        ("scale: 0.1, unit: V", "scale: 0", "11: points[0]: v1: scale is 0"),
        ("scale: 0.1, unit: V", "scale: big", "11: points[0].scale: input should be a valid decimal"),
        ("scale: 0.1, unit: V", "type: string, length: 4", "11: points[0]: v1: a string cannot be a number"),
        ("scale: 0.1, unit: V", "type: bool", "11: points[0]: v1: bool goes with functions 1 and 2 only"),
        (
            "scale: 0.1, unit: V",
            "values: {1: one}",
            "11: points[0]: v1: values and bits are for text metrics",
        ),
        ('source: "Acme X protocol, https://example.com/x.pdf"\n', "", "1: source: is missing"),
        ("drop: [v2]", "drop: [v9]", "17: models[0].drop[0]: 'v9' is not a point of the family"),
        ("id: x1", "id: X 1", "15: models[0].id: 'X 1' is not of the form"),
        (
            "type: f32}",
            "type: f32, poll: often}",
            "21: models[1].points[0].poll: input should be 'fast', 'slow'",
        ),
        ("defaults: {function: 3", "defaults: {func: 3", "8: defaults.func: is not a known field"),
        ("invalid: {u16", "invalid: {u17", "9: invalid.u17: is not a type"),
        ("series: X\n", "series: X\nseries: Y\n", "6: series: is given twice"),
        ("max_block: 40", "max_block: 1", "13: points[2]: p needs 2 registers; a read holds 1"),
        ("models:", "models: []\nx:", "is not a known field"),
        ("brand: acme", "brand: [acme", "is not valid YAML"),
    ],
)
def test_wrong_profile_names_file_line_and_field(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadInputError) as caught:
        load_profile_file(path)
    assert str(path) in caught.value.message
    assert complaint in caught.value.message
    if "given twice" not in complaint or "metric" in complaint:  # a key given twice is for the careful one
        with pytest.raises(BadInputError) as quick:
            parse_profiles(path.read_text(), path)
        assert quick.value.message == caught.value.message


@pytest.mark.parametrize(
    "text", ["", "[]", "just text", "points: 7", "models: {a: b}", "defaults: 3\nmodels: [1]"]
)
def test_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInputError):
        load_profile_file(write(tmp_path, text))


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        load_profile_file(tmp_path / "none.yaml")
    with pytest.raises(BadInputError, match="a profile has at most 262144"):
        load_profile_file(write(tmp_path, "#" * 300_000))


def test_schema_takes_the_good_file_and_refuses_an_unknown_metric() -> None:
    schema = profile_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    with pytest.raises(jsonschema.ValidationError, match="vv2"):
        jsonschema.validate(yaml.safe_load(GOOD.replace("metric: v2", "metric: vv2")), schema)


def test_catalog_model_has_units_and_resolutions(tmp_path: Path) -> None:
    x3: Profile = load_profile_file(write(tmp_path, GOOD))[1]
    model = catalog_model(x3)
    assert [(p.metric, p.unit, p.resolution) for p in model.points] == [
        ("v1", "V", 0.1), ("v2", "V", 0.1), ("p", "W", 0.01),
    ]  # fmt: skip
