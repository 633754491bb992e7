"""From the configuration to lines."""

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.layout import layout_of
from ccm_bus_reader.transport import SerialPort, TcpHost, char_s
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Device, Port, Rs485

CATALOG = load_catalog()
PORTS = [
    Port(id="native", kind="rs485", path="/dev/ttyS1", format="8E1"),
    Port(id="server", kind="tcp", host="192.0.2.1", tcp_port=4001, baudrate=19200),
]


def meter(device: str, port: str = "native", unit: int = 1, model: str = "eastron/sdm630") -> Device:
    return Device(id=device, port=port, model=model, unit=unit)


def test_ports_and_hosts_become_lines() -> None:
    farm = [
        Device(id=f"farm{unit}", host="192.0.2.7", model="huawei/sun2000", unit=unit, tcp_port=1502)
        for unit in (1, 2)
    ]
    lines, troubles = layout_of(Document(ports=PORTS, devices=[meter("a"), *farm]), CATALOG)
    assert not troubles
    assert lines["native"].endpoint == SerialPort("/dev/ttyS1", 9600, "8E1", Rs485())
    assert lines["server"].endpoint == TcpHost("192.0.2.1", 4001, char_s(19200, "8N1"))
    assert not lines["server"].is_modbus_tcp
    assert not lines["server"].members
    shared = lines["tcp-192-0-2-7-1502"]
    assert shared.is_modbus_tcp
    assert [member.config.id for member in shared.members] == ["farm1", "farm2"]


def test_each_wrong_device_is_named_with_its_field_and_the_others_stay() -> None:
    devices = [
        meter("good"),
        meter("same", unit=1),
        meter("lost", port="nowhere", unit=2),
        meter("odd", unit=3, model="eastron/sdm999"),
    ]
    lines, troubles = layout_of(Document(ports=PORTS, devices=devices), CATALOG)
    assert [member.config.id for member in lines["native"].members] == ["good"]
    assert [(trouble.config.id, trouble.field) for trouble in troubles] == [
        ("same", "devices[1].unit"),
        ("lost", "devices[2].port"),
        ("odd", "devices[3].model"),
    ]


def test_disabled_devices_are_left_out_and_a_new_alias_changes_nothing() -> None:
    off = meter("off", unit=9).model_copy(update={"enabled": False})
    first, _ = layout_of(Document(ports=PORTS, devices=[meter("a"), off]), CATALOG)
    renamed = meter("a").model_copy(update={"alias": "Grid"})
    second, _ = layout_of(Document(ports=PORTS, devices=[renamed, off]), CATALOG)
    assert first == second


def test_character_times_of_the_usual_formats() -> None:
    # 1 start bit, data bits, parity bit, stop bits: Modbus over Serial Line V1.02, 2.5.1
    assert char_s(9600, "8N1") == 10 / 9600
    assert char_s(9600, "8E1") == 11 / 9600
    assert char_s(19200, "8N2") == 11 / 19200
    assert char_s(9600, "7E1") == 10 / 9600


def test_native_devices_beyond_those_that_wifi_carries_are_named() -> None:
    devices = [
        Device(id=f"d{number}", host=f"192.0.2.{number}", model="energyccm/ccm4", unit=1)
        for number in range(1, 12)
    ]
    lines, troubles = layout_of(Document(devices=devices), CATALOG)
    assert len(lines) == 10
    assert [(each.field, each.text) for each in troubles] == [
        ("devices[10].host", "by WiFi at most 10 native devices are read")
    ]


def test_an_inverter_and_its_meter_at_one_unit_are_both_read() -> None:
    devices = [
        Device(id=name, host="192.0.2.7", model=model, unit=1)
        for name, model in [("roof", "huawei/sun2000-hybrid"), ("grid", "huawei/sun2000-meter")]
    ]
    lines, troubles = layout_of(Document(devices=devices), CATALOG)
    assert troubles == []
    assert [[member.config.id for member in line.members] for line in lines.values()] == [["roof", "grid"]]
