"""Which serial adapters are told, from a tree as sysfs lays it out: a Raspberry Pi with a FTDI cable."""

from pathlib import Path

from ccm_bus_reader.adapters import adapters_in

FTDI = "usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"


def tree(root: Path) -> Path:
    usb = root / "sys/devices/usb1/1-1"
    for place in (
        usb / "1-1:1.0/ttyUSB0",
        root / "sys/devices/serial8250",
        root / "sys/devices/fe201000.serial",
    ):
        place.mkdir(parents=True)
    (usb / "product").write_text("FT232R USB UART\n")
    (usb / "manufacturer").write_text("FTDI\n")
    devices = {
        "ttyUSB0": (usb / "1-1:1.0/ttyUSB0", None),
        "ttyS0": (root / "sys/devices/serial8250", "0"),  # the driver's row, with no chip behind it
        "ttyAMA1": (root / "sys/devices/fe201000.serial", "32"),
        "ttyUSB7": (usb / "1-1:1.0/ttyUSB0", None),  # not given to the container: no node
        "tty0": (None, None),  # a console
    }
    (root / "dev/serial/by-id").mkdir(parents=True)
    for name, (device, kind) in devices.items():
        folder = root / "sys/class/tty" / name
        folder.mkdir(parents=True)
        if device:
            (folder / "device").symlink_to(device)
        if kind:
            (folder / "type").write_text(f"{kind}\n")
        if name != "ttyUSB7":
            (root / "dev" / name).touch()
    (root / "dev/serial/by-id" / FTDI).symlink_to(root / "dev/ttyUSB0")
    return root


def test_adapter_is_told_by_its_lasting_path_and_what_it_says_of_itself(tmp_path: Path) -> None:
    told = {adapter.node: adapter for adapter in adapters_in(tree(tmp_path))}
    assert told["/dev/ttyUSB0"].path == f"/dev/serial/by-id/{FTDI}"
    assert told["/dev/ttyUSB0"].name == "FTDI FT232R USB UART"


def test_consoles_ports_without_a_chip_and_nodes_out_of_reach_are_left_out(tmp_path: Path) -> None:
    assert [adapter.node for adapter in adapters_in(tree(tmp_path))] == ["/dev/ttyUSB0", "/dev/ttyAMA1"]
    assert adapters_in(tmp_path / "nothing") == []
