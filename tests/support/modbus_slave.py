"""The independent Modbus slave: tests/peers/modbus_slave.c on libmodbus, compiled when first needed."""

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.peers import need
from tests.support.ports import free_port
from tests.support.processes import Child
from tests.support.pty_pair import PtyPair as PtyPair  # the far end of its line
from tests.support.pty_pair import pty_pair as pty_pair

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "peers" / "modbus_slave.c"
CACHE = ROOT / ".cache" / "peers"

# (unit, function 1-4, first address) -> values: what the slave holds.
Registers = Mapping[tuple[int, int, int], Sequence[int]]


@dataclass(frozen=True)
class Request:
    """A request that the slave took as its own."""

    unit: int
    function: int
    address: int
    count: int


class ModbusSlave:
    """A running slave; `target` is the serial path or the TCP port."""

    def __init__(self, process: Child, target: str) -> None:
        self._process = process
        self.target = target

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.target)

    @property
    def requests(self) -> list[Request]:
        """What it was asked, in order, refused requests included."""
        lines = self._process.output.split("\n")[:-1]
        return [Request(*map(int, line.split()[1:])) for line in lines if line.startswith("request ")]

    async def kill(self) -> None:
        """SIGKILL: the device is gone."""
        await self._process.kill()


def build_slave() -> Path:
    """The compiled program; built once per content of the source and version of libmodbus."""
    compiler, tool = need("gcc"), need("pkg-config")
    need("libmodbus")
    flags = _output(tool, "--cflags", "--libs", "libmodbus").split()
    version = _output(tool, "--modversion", "libmodbus")
    content = SOURCE.read_bytes() + version.encode() + " ".join(flags).encode()
    program = CACHE / f"modbus_slave-{hashlib.sha256(content).hexdigest()[:16]}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = program.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O1", "-Wall", "-Werror", "-o", partial, SOURCE, *flags], check=True)
        partial.replace(program)
    return program


def registers_text(registers: Registers) -> str:
    """The slave's input file: `unit function address value...` a line."""
    return "".join(
        f"{unit} {function} {address} {' '.join(map(str, values))}\n"
        for (unit, function, address), values in registers.items()
    )


@asynccontextmanager
async def rtu_slave(
    path: str, registers: Registers | str, *, tmp_path: Path, baudrate: int = 9600, parity: str = "N"
) -> AsyncIterator[ModbusSlave]:
    """A slave on a serial path. `registers` as a mapping, or as the text of the input file."""
    async with _slave(["rtu", path, str(baudrate), parity], path, registers, tmp_path) as slave:
        yield slave


@asynccontextmanager
async def tcp_slave(
    registers: Registers | str, *, tmp_path: Path, port: int | None = None
) -> AsyncIterator[ModbusSlave]:
    """A slave on 127.0.0.1."""
    target = str(port or free_port())
    async with _slave(["tcp", target], target, registers, tmp_path) as slave:
        yield slave


@asynccontextmanager
async def _slave(
    mode: list[str], target: str, registers: Registers | str, tmp_path: Path
) -> AsyncIterator[ModbusSlave]:
    program = build_slave()
    stem = f"modbus_slave-{Path(target).name}"
    table = tmp_path / f"{stem}.txt"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(registers if isinstance(registers, str) else registers_text(registers))
    process = Child.spawn([program, *mode, table], log=tmp_path / f"{stem}.log")
    try:
        await process.printed("^ready$")
        yield ModbusSlave(process, target)
    finally:
        await process.stop()


def _output(*args: str | Path) -> str:
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout
