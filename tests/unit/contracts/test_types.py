"""Secrets never show; timestamps are UTC with milliseconds; documents say what is wrong and where."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ccm_contracts.config.document import Document, beyond_wifi, meters_alone, problems_of
from ccm_contracts.config.field import Device
from ccm_contracts.config.services import Mqtt
from ccm_contracts.messages import Reading
from ccm_contracts.types import MASK, SEALED_PREFIX, Border, Secret, Slug, Timestamp, format_ts
from ccm_kit.problems import problems_in

PASSWORD = "correct horse battery staple"
MOMENTS = TypeAdapter(Timestamp)


def test_secret_is_masked_wherever_it_is_shown() -> None:
    mqtt = Mqtt(password=Secret(PASSWORD))
    shown = [repr(mqtt), str(mqtt), f"{mqtt.password}", repr([mqtt.password]), mqtt.model_dump_json()]
    shown += [str(mqtt.model_dump()), str(mqtt.model_dump(mode="json"))]
    assert [text for text in shown if PASSWORD in text] == []
    assert mqtt.model_dump(mode="json")["password"] == MASK
    assert mqtt.password.reveal() == PASSWORD


def test_empty_secret_reads_back_as_empty() -> None:
    assert Mqtt().model_dump(mode="json")["password"] == ""


def test_secret_is_sealed_only_on_request() -> None:
    mqtt = Mqtt(password=Secret(PASSWORD))
    sealed = mqtt.model_dump_json(context={"seal": lambda text: SEALED_PREFIX + text[::-1]})
    assert SEALED_PREFIX + PASSWORD[::-1] in sealed
    opened = Mqtt.model_validate_json(
        sealed, context={"unseal": lambda text: text.removeprefix(SEALED_PREFIX)[::-1]}
    )
    assert opened == mqtt


def test_mask_sent_back_means_unchanged() -> None:
    assert Mqtt.model_validate_json(f'{{"password": "{MASK}"}}').password.is_mask
    assert not Mqtt(password=Secret(PASSWORD)).password.is_mask


@pytest.mark.parametrize(
    "document",
    [
        {"password": PASSWORD + "x" * 20_001},
        {"password": [PASSWORD]},
        {"password": {"text": PASSWORD}},
        {"password": PASSWORD, "prefix_sub": "/a", "prefix_pub": "/a"},
        {"password": PASSWORD, "host": "nonsense"},
    ],
)
def test_error_text_for_people_holds_no_secret(document: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as raised:
        Mqtt.model_validate(document)
    assert PASSWORD not in str(problems_in(raised.value))


def test_frozen_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Mqtt().port = 1  # type: ignore[misc]


@given(
    moment=st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis wants naive bounds
        max_value=datetime(2999, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from(
            [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))]
        ),
    )
)
def test_timestamp_survives_the_wire_cut_to_milliseconds(moment: datetime) -> None:
    sent = MOMENTS.validate_python(moment)
    received = MOMENTS.validate_json(MOMENTS.dump_json(sent))
    assert received == sent
    assert received.tzinfo == UTC
    assert timedelta(0) <= moment - received < timedelta(milliseconds=1)


def test_timestamp_is_written_as_rfc_3339_with_milliseconds() -> None:
    madrid = timezone(timedelta(hours=2))
    assert format_ts(datetime(2026, 5, 1, 14, 0, 0, 7999, madrid)) == "2026-05-01T12:00:00.007Z"


def test_timestamp_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs a time zone"):
        MOMENTS.validate_json('"2026-05-01T12:00:00"')


@pytest.mark.parametrize("text", ["", "Grid", "a b", "-a", "a.b", "a" * 41, "grid\n", "ñ"])
def test_slug_that_could_not_be_a_subject_token_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Slug).validate_python(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_value_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        Reading.model_validate_json(
            f'{{"gateway": "G", "device": "d", "ts": "2026-05-01T12:00:00Z", "values": {{"p": {value}}}, "seq": 1}}'
        )


def test_secret_is_equal_by_its_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


DEVICE = {"id": "grid", "port": "native", "model": "energyccm/ccm4", "unit": 1}
PORT = {"id": "native", "kind": "rs485", "path": "/dev/ttyS1"}
AWAY = {**DEVICE, "port": None}
ROOF = {**DEVICE, "id": "roof", "unit": 2}


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        (
            {"ports": [PORT], "devices": [{**DEVICE, "port": "ext"}]},
            "devices[0].port",
            "there is no port ext",
        ),
        (
            {"ports": [PORT], "devices": [DEVICE, {**DEVICE, "id": "roof"}]},
            "devices[1].unit",
            "unit 1 is already used on native by grid",
        ),
        (
            {"ports": [PORT], "devices": [DEVICE, {**ROOF, "id": "grid"}]},
            "devices[1].id",
            "the id grid is used twice",
        ),
        (
            {"ports": [PORT], "devices": [{**DEVICE, "unit": 248}]},
            "devices[0].unit",
            "unit 248 cannot be on a serial line: 1 to 247",
        ),
        (
            {"devices": [{**AWAY, "host": "meter_1"}, {**AWAY, "host": "meter-1", "id": "roof", "unit": 2}]},
            "devices[1].host",
            "meter-1 cannot be told from meter_1:502 by its line, tcp-meter-1-502: name one otherwise",
        ),
        (
            {"ports": [{**PORT, "id": "tcp-192-0-2-7-502"}], "devices": [{**AWAY, "host": "192.0.2.7"}]},
            "devices[0].host",
            "192.0.2.7 cannot be told from port tcp-192-0-2-7-502 by its line, tcp-192-0-2-7-502: "
            "name one otherwise",
        ),
        (
            {"ports": [PORT, {**PORT, "id": "ext"}]},
            "ports[1].path",
            "/dev/ttyS1 is already used by port native",
        ),
        (
            {
                "ports": [PORT],
                "devices": [DEVICE],
                "plants": [{"id": "h", "production": ["roof"], "grid": ["grid"]}],
            },
            "plants[0].production[0]",
            "there is no device roof",
        ),
        (
            {
                "ports": [PORT],
                "devices": [DEVICE],
                "plants": [{"id": "h", "production": ["grid"], "grid": ["grid"]}],
            },
            "plants[0].grid[0]",
            "grid is already in production",
        ),
        (
            {
                "ports": [PORT],
                "devices": [DEVICE, ROOF],
                "plants": [{"id": "grid", "production": ["roof"], "grid": ["grid"]}],
            },
            "plants[0].id",
            "grid is already the id of a device",
        ),
    ],
)
def test_document_that_contradicts_itself_names_the_field(
    document: dict[str, object], field: str, message: str
) -> None:
    [problem] = problems_of(Document.model_validate(document))
    assert (problem.field, problem.message) == (field, message)


def test_ten_native_devices_are_read_by_wifi_beside_those_on_the_cable() -> None:
    """Manual section 5.5: 32 principal devices by cable, 10 by WiFi."""
    wifi = {"id": "wifi", "kind": "tcp", "host": "192.0.2.9", "role": "native"}
    ports = [{**PORT, "role": "native"}, wifi]
    cable = [{**DEVICE, "id": f"c{unit}", "unit": unit} for unit in range(1, 33)]
    radio = [{**DEVICE, "id": f"w{unit}", "port": "wifi", "unit": unit} for unit in range(1, 12)]
    assert problems_of(Document.model_validate({"ports": ports, "devices": cable + radio[:10]})) == []
    [problem] = problems_of(Document.model_validate({"ports": ports, "devices": cable + radio}))
    assert (problem.field, problem.message) == (
        "devices[42].port",
        "by WiFi at most 10 native devices are read",
    )
    hosts = [{**DEVICE, "id": f"h{unit}", "port": None, "host": f"192.0.2.{unit}"} for unit in range(1, 12)]
    away = Document.model_validate({"devices": hosts})
    assert problems_of(away) == []  # whether a host is a native device, its model tells
    assert [each.field for each in beyond_wifi(away, {"energyccm/ccm4"})] == ["devices[10].host"]


def test_the_brackets_around_an_address_of_ipv6_do_not_count() -> None:
    """RFC 3986, 3.2.2: they belong to the URL."""
    hosts = [
        {**DEVICE, "id": f"d{unit}", "port": None, "host": host, "unit": unit}
        for unit, host in enumerate(["[::1]", "::1"])
    ]
    devices = Document.model_validate({"devices": hosts}).devices
    assert {device.host for device in devices} == {"::1"}
    assert len({device.line for device in devices}) == 1


HOUSE = [
    {"id": "roof", "host": "192.0.2.7", "model": "huawei/sun2000-hybrid", "unit": 1},
    {"id": "grid", "host": "192.0.2.7", "model": "huawei/sun2000-meter", "unit": 1},
    {"id": "more", "host": "192.0.2.7", "model": "sunspec/meter", "unit": 1},
]
"""An inverter answers for the meter at its terminals, at its own unit."""


def test_an_inverter_and_the_meter_behind_it_are_at_one_unit() -> None:
    assert problems_of(Document.model_validate({"devices": HOUSE})) == []


@pytest.mark.parametrize(
    "other", [{"model": "huawei/sun2000-hybrid"}, {"model": "eastron/sdm630"}], ids=["twice", "strangers"]
)
def test_what_cannot_be_one_device_is_not_at_one_unit(other: dict[str, object]) -> None:
    [problem] = problems_of(Document.model_validate({"devices": [HOUSE[0], {**HOUSE[1], **other}]}))
    assert problem.field == "devices[1].unit"
    assert problem.message == "unit 1 is already used on tcp-192-0-2-7-502 by roof"


def test_native_devices_have_a_unit_each() -> None:
    ports = [{**PORT, "role": "native"}]
    devices = [DEVICE, {**DEVICE, "id": "roof", "model": "energyccm/ccm1-c"}]
    [problem] = problems_of(Document.model_validate({"ports": ports, "devices": devices}))
    assert problem.message == "unit 1 is already used on native by grid"


def test_meters_of_one_brand_are_not_at_one_unit_without_what_speaks_for_them() -> None:
    meters = {"huawei/sun2000-meter", "sunspec/meter"}
    assert list(meters_alone(Document.model_validate({"devices": HOUSE}), meters)) == []
    [problem] = meters_alone(Document.model_validate({"devices": HOUSE[1:]}), meters)
    assert problem.field == "devices[1].unit"
    assert problem.message == "unit 1 is already used on tcp-192-0-2-7-502 by grid, which is a meter too"


def test_external_line_carries_247_units() -> None:
    devices = [{**DEVICE, "id": f"d{unit}", "unit": unit} for unit in range(1, 248)]
    assert problems_of(Document.model_validate({"ports": [PORT], "devices": devices})) == []


def test_slow_points_are_not_read_more_often_than_fast_ones() -> None:
    with pytest.raises(ValidationError, match="slow_s is shorter than poll_s"):
        Device.model_validate({**DEVICE, "poll_s": 10, "slow_s": 5})


def test_native_line_carries_32_devices() -> None:
    """Manual section 5.5.2."""
    ports = [{**PORT, "role": "native"}]
    devices = [{**DEVICE, "id": f"d{unit}", "unit": unit} for unit in range(1, 34)]
    assert problems_of(Document.model_validate({"ports": ports, "devices": devices[:32]})) == []
    [problem] = problems_of(Document.model_validate({"ports": ports, "devices": devices}))
    assert (problem.field, problem.message) == (
        "devices[32].port",
        "a native line carries at most 32 devices",
    )


def test_empty_document_is_sound() -> None:
    assert problems_of(Document()) == []


@pytest.mark.parametrize("name", ["certificate", "client_certificate"])
def test_certificate_that_is_no_pem_text_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Mqtt.model_validate({"tls": {"type": "ca", name: "hello"}})
    (loc, text), *_ = problems_in(raised.value)
    assert loc == ("tls", name)
    assert "PEM" in text


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00Z"]
)
def test_moment_that_no_calendar_holds_is_refused_and_ends_a_range(text: str) -> None:
    with pytest.raises(ValidationError, match="of the years 1900 to 9998"):
        MOMENTS.validate_json(f'"{text}"')
    assert TypeAdapter(Border).validate_json(f'"{text}"').year in (1900, 9998)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("host", "mqtt://me:geheim@broker.example", "must not hold a user and a password"),
        ("host", "mqtt://me:geheim@broker.example/x", r"'mqtt://\*{8}@broker.example/x' is not of the form"),
        ("host", "mqtt://broker.example:1883", "must not hold a port"),
        ("host", "http://broker.example", "must begin with mqtt:// or"),
        ("host", "mqtt://", "must begin with mqtt:// or"),
        ("host", "mqtt://[::1]:1883", "must not hold a port"),
        ("prefix_sub", "/site\x01", "is not of the form"),  # MQTT 5, 1.5.4: a broker may hang up
        ("prefix_pub", "/si\x00te", "is not of the form"),
        ("prefix_sub", "/ccm/dev/command", "must not lie under prefix_pub/command"),
        ("client_id", "gw\x00", "is not of the form"),
        ("user", "gw\n", "is not of the form"),
    ],
)
def test_mqtt_settings_that_no_broker_takes_are_refused(field: str, value: str, why: str) -> None:
    with pytest.raises(ValidationError) as found:
        Mqtt.model_validate({field: value})
    ((_, text),) = problems_in(found.value)
    assert re.search(why, text)
    assert "geheim" not in text


@pytest.mark.parametrize(
    "host", ["mqtt://[::1]", "mqtt://::1", "mqtts://192.0.2.7", "mqtts://broker.example"]
)
def test_mqtt_hosts_are_names_and_addresses(host: str) -> None:
    assert Mqtt(host=host).host == host
