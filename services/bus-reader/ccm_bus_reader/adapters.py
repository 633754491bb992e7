"""The serial adapters that the host has, as Linux tells; opens none of them.

Sources: Documentation/ABI/testing/sysfs-class-tty (`type`, 0 where no chip was found) and the kernel's
admin-guide/devices; udev makes the links in `/dev/serial/by-id`, which stay when an adapter is plugged in anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ccm_contracts.verbs.bus_reader import MOST_ADAPTERS, Adapter

_NO_CHIP: Final = "0"
_NAMES: Final = ("product", "manufacturer")
_USB_LEVELS: Final = 4
"""A tty lies at most so deep below the USB device that names itself."""


def adapters_in(root: Path = Path("/")) -> list[Adapter]:
    """Sorted by path, at most `MOST_ADAPTERS`; a path is the lasting one where there is one."""
    links = _links(root / "dev/serial/by-id")
    found = []
    for tty in sorted((root / "sys/class/tty").glob("*")):
        node = root / "dev" / tty.name
        if (tty / "device").exists() and _text(tty / "type") != _NO_CHIP and node.exists():
            lasting = links.get(node.resolve())
            path = f"/dev/serial/by-id/{lasting}" if lasting else f"/dev/{tty.name}"
            found.append(Adapter(path=path, node=f"/dev/{tty.name}", name=_name(tty)))
    return sorted(found, key=lambda adapter: adapter.path)[:MOST_ADAPTERS]


def _links(folder: Path) -> dict[Path, str]:
    """The lasting name of each node."""
    return {link.resolve(): link.name for link in sorted(folder.glob("*"))}


def _name(tty: Path) -> str:
    """What a USB adapter says of itself; empty for others."""
    for place in _upwards((tty / "device").resolve()):
        words = [text for text in (_text(place / each) for each in reversed(_NAMES)) if text]
        if words:
            return " ".join(words)[:100]
    return ""


def _upwards(place: Path) -> Iterator[Path]:
    for _ in range(_USB_LEVELS):
        yield place
        place = place.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
