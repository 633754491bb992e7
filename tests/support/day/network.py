"""Hosts with devices on a network, and what happens to a host. A mishap returns False when the host has one already."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final, Literal

from ccm_bus_reader.reader import Reader
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.config.field import Port
from ccm_sim.instrument import DeviceSpec, Kind
from ccm_sim.wire import Wire
from tests.support.day.cabinet import GHOST, GHOST_UNIT, INTERVALS_S, MODELS, TURNAROUNDS_S, Counted
from tests.support.day.scene import Scene
from tests.support.day.servers import SerialServer, TcpServer
from tests.support.day.witness import Witness
from tests.support.memory_host import Host, Mood
from tests.support.virtual_time import VirtualLoop

NOBODY: Final = "nobody"
"""In the configuration, at a host that does not exist."""
NOBODYS_UNIT: Final = 61
TCP_PORT: Final = 502
SERIAL_PORT: Final = 4001
Framing = Literal["tcp", "rtu"]
HOSTS: Final[tuple[tuple[Framing, int, tuple[Kind, ...]], ...]] = (
    ("tcp", 1, ("ccm4",)),
    ("tcp", 1, ("ccm4",)),
    ("tcp", 1, ("sun2000",)),
    ("tcp", 1, ("sdm630",)),
    ("tcp", 1, ("ccm4", "goodwe-dns", "sdm630", "sun2000")),
    ("tcp", 2, ("ccm4", "sdm630", "ccm4")),
    ("tcp", 4, ("ccm4", "goodwe-dns", "sdm630", "sun2000", "ccm4", "goodwe-dns")),
    ("tcp", 8, ("ccm4", "sdm630", "sun2000", "goodwe-dns", "sun2000", "ccm4", "sdm630", "goodwe-dns")),
    ("rtu", 1, ("ccm4", "sdm630", "ccm4", "goodwe-dns")),
    ("rtu", 1, ("sdm630", "ccm4", "sun2000")),
)
"""Framing, transactions at once, who is behind it: 32 in all."""
GHOSTS_HOST: Final = 6


@dataclass
class Site:
    """One host."""

    name: str
    host: Host
    devices: list[str]
    wire: Wire | None = None
    tcp: TcpServer | None = None


@dataclass(kw_only=True)
class Network(Scene):
    """The hosts."""

    sites: list[Site]
    hears_at_once = False
    cuts: Counter[str] = field(default_factory=Counter)
    """Of the connections that a device is read over."""

    @property
    def ports(self) -> list[Port]:
        return [
            Port(
                id=site.name, kind="tcp", host=site.name, tcp_port=SERIAL_PORT, baudrate=9600, role="external"
            )
            for site in self.sites
            if site.wire is not None
        ]

    @property
    def wires(self) -> Sequence[Wire]:
        return [site.wire for site in self.sites if site.wire is not None]

    @property
    def openings(self) -> int:
        return sum(site.host.openings for site in self.sites)

    def spoiled(self, device: str) -> Counter[str]:
        found = Counter(cut=self.cuts[device])
        for site in self.sites:
            if device in site.devices and site.wire is not None:
                found.update(site.wire.stats.spoiled.get(device, {}))
                found["collision"] += site.wire.stats.collisions
            elif device in site.devices and site.tcp is not None:
                found.update(site.tcp.kinds.get(device, {}))
        return +found

    @contextmanager
    def site(self) -> Iterator[Site | None]:
        """A host and everybody behind it."""
        site = self.dice.choice(self.sites)
        with self.on(site.name, site.devices) as is_free:
            yield site if is_free else None


@contextmanager
def network(loop: VirtualLoop, seed: int, reader: Reader, witness: Witness) -> Iterator[Network]:
    """The scenery; the hosts are there meanwhile."""
    devices: dict[str, Counted] = {}
    configs = {NOBODY: _config(NOBODY, "sdm630", NOBODYS_UNIT, host="nowhere")}
    sites: list[Site] = []
    for index, (framing, at_once, kinds) in enumerate(HOSTS):
        name = f"h{index}"
        where = {"port": name} if framing == "rtu" else {"host": name, "max_in_flight": at_once}
        behind = [_device(kind, len(devices) + place, loop) for place, kind in enumerate(kinds)]
        devices |= {device.id: device for device in behind}
        configs |= {
            device.id: _config(device.id, device.spec.kind, device.unit, **where) for device in behind
        }
        site = _site(name, framing, behind, loop, seed + index, witness)
        if index == GHOSTS_HOST:
            configs[GHOST] = _config(GHOST, "ccm4", GHOST_UNIT, **where)
            site.devices.append(GHOST)
        sites.append(site)
    scene = Network(
        reader=reader, devices=devices, configs=configs, witness=witness, dice=Random(seed), sites=sites
    )
    witness.watch_all(devices, configs, scene.spoiled, dead=[GHOST, NOBODY])
    yield scene


def _device(kind: Kind, number: int, loop: VirtualLoop) -> Counted:
    turnaround_s = TURNAROUNDS_S[number % len(TURNAROUNDS_S)]
    spec = DeviceSpec(f"{kind}-{number}", kind, 1 + number, turnaround_s=turnaround_s, number=number)
    return Counted(spec, loop.time)


def _config(device: str, kind: Kind, unit: int, **where: Any) -> DeviceConfig:
    poll_s = INTERVALS_S[unit % len(INTERVALS_S)]
    return DeviceConfig(id=device, model=MODELS[kind], unit=unit, poll_s=poll_s, **where)


def _site(
    name: str, framing: Framing, behind: list[Counted], loop: VirtualLoop, seed: int, witness: Witness
) -> Site:
    ids = [device.id for device in behind]
    opened = partial(witness.line_opened, ids)
    if framing == "tcp":
        tcp = TcpServer(behind, loop, seed, witness.heard)
        site = Site(name, Host(tcp, opened), ids, tcp=tcp)
        loop.hosts[name, TCP_PORT] = site.host
    else:
        serial = SerialServer(behind, loop, seed, witness.heard)
        site = Site(name, Host(serial, opened), ids, wire=serial.wire)
        serial.host = loop.hosts[name, SERIAL_PORT] = site.host
    return site


# --- mishaps -------------------------------------------------------------------------------------------------


async def _is(scene: Network, mood: Mood, *, breaks: bool) -> bool:
    """A host is not well for a while; `breaks`: its connections end with it."""
    with scene.site() as site:
        if site is None:
            return False
        site.host.mood = mood
        if breaks:
            site.host.cut(is_reset=True)
        await asyncio.sleep(scene.dice.choice((0.5, scene.some_s(20), scene.some_s(900))))
        site.host.mood = "well"
    return True


async def restarts(scene: Network) -> bool:
    """Its server is gone for a while."""
    return await _is(scene, "refuses", breaks=True)


async def vanishes(scene: Network) -> bool:
    """It is cut off, and nobody says so."""
    return await _is(scene, "unreachable", breaks=scene.dice.random() < 0.5)


async def hangs(scene: Network) -> bool:
    """It takes connections and answers nothing."""
    return await _is(scene, "hung", breaks=scene.dice.random() < 0.5)


async def hangs_up(scene: Network) -> bool:
    """A few times, at any moment, in good order or not."""
    with scene.site() as site:
        if site is None:
            return False
        for _ in range(scene.dice.randint(1, 10)):
            site.host.cut(is_reset=scene.dice.random() < 0.5)
            scene.cuts.update(site.devices)
            await asyncio.sleep(scene.dice.choice((0.001, scene.dice.uniform(0.0, 0.2), scene.some_s(30))))
    return True


async def babbles(scene: Network) -> bool:
    """Bytes that nobody asked for."""
    with scene.site() as site:
        if site is None:
            return False
        for _ in range(scene.dice.randint(3, 30)):
            for link in tuple(site.host.links):
                link.deliver(scene.dice.randbytes(scene.dice.randint(1, 300)))
            scene.cuts.update(site.devices)
            await asyncio.sleep(scene.dice.expovariate(1.0))
    return True
