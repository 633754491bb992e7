"""One reading of one device without a bus: what `ccmaster read` shows to the installer."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import GATEWAY_SILENT, REFUSALS, Device
from ccm_bus_reader.drivers.modbus import Framing, Request, Rtu, Tcp
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.point import Poll
from ccm_bus_reader.profile import Profile
from ccm_bus_reader.profile_source import load_profile_file
from ccm_bus_reader.transport import Endpoint, SerialPort, TcpHost, Transport, char_s
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Value
from ccm_contracts.metrics import DERIVED, METRICS
from ccm_kit.clock import SystemClock
from ccm_kit.errors import BadInputError, UnavailableError

TRIES: Final = 3
MODBUS_TCP_PORT: Final = 502
EVERYTHING: Final[frozenset[Poll]] = frozenset({"fast", "slow", "once"})


@dataclass(frozen=True, slots=True)
class Found:
    """One value in its vocabulary unit; None where the device has none."""

    metric: str
    label: str
    value: Value
    unit: str


async def read_once(
    port: str,
    model: str,
    unit: int,
    *,
    baudrate: int = 9600,
    format: str = "8N1",  # noqa: A002 - the configuration's own word
    user_catalog: Path | None = None,
) -> list[Found]:
    """Every point of the device. Raises `BadInputError` (model, port) or `UnavailableError` (port, reply).

    `port`: a serial path, `tcp://host:port` (Modbus TCP) or `rtu+tcp://host:port`. `model`: a name of the catalogue,
    or the path of a profile file.
    """
    profile = _profile(model, user_catalog)
    return await read_profile(port, profile, unit, baudrate=baudrate, format=format)


async def read_profile(
    port: str,
    profile: Profile,
    unit: int,
    *,
    baudrate: int = 9600,
    format: str = "8N1",  # noqa: A002 - the configuration's own word
) -> list[Found]:
    """As `read_once`, for a profile that is at hand."""
    endpoint, is_modbus_tcp = endpoint_of(port, baudrate, format)
    if not 0 <= unit <= 255 or (unit in (0, 255) and not is_modbus_tcp):
        raise BadInputError(f"unit {unit} cannot be: 1 to 247", field="unit")
    clock = SystemClock()
    transport = Transport(endpoint, clock)
    framing: Framing = Tcp() if is_modbus_tcp else Rtu()
    line = Line(transport, framing, clock, is_numbered=is_modbus_tcp)
    cost = WireCost(line.char_s, 0.010, line.silence_s)
    config = DeviceConfig(id="device", host="localhost", model=profile.id, unit=unit)
    device = Device(config, profile, cost)
    await transport.open()
    try:
        line.opened()
        values = await _read_all(line, device, port)
    finally:
        await transport.close()
    return [Found(name, METRICS[name].label, value, METRICS[name].unit) for name, value in values.items()]


async def _read_all(line: Line, device: Device, port: str) -> dict[str, Value]:
    await _discover(line, device, port)
    values: dict[str, Value] = {}
    refusals: set[int] = set()
    reads = deque(device.reads(EVERYTHING))
    at = 0.0
    while reads:
        read = reads.popleft()
        answer = await _exchange(line, device, read.request, port)
        at = answer.at
        if answer.exception is None:
            values |= read.decode(answer.words)
            continue
        refusals.add(answer.exception)
        if answer.exception in REFUSALS:
            reads.extendleft(reversed(device.refused(read, at)[0]))
    if not values:
        codes = ", ".join(exception_text(code) for code in sorted(refusals))
        text = f"{port}: unit {device.config.unit} answers {codes}: is it a {device.profile.id}?"
        raise UnavailableError(text, code="refused")
    merged = device.merged(values, at, slow_s=float("inf"))
    return {metric: value for metric, value in merged.items() if metric not in DERIVED}


async def _discover(line: Line, device: Device, port: str) -> None:
    """Find out what the device has, where its profile does not say it."""
    while (request := device.discovery_request()) is not None:
        answer = await _exchange(line, device, request, port)
        problem = device.discovered(answer.words if answer.exception is None else None)
        if problem:
            raise UnavailableError(f"{port}: unit {device.config.unit} {problem}", code="refused")


async def _exchange(line: Line, device: Device, request: Request, port: str) -> Answer:
    """The answer, by the third try."""
    reason = ""
    for _ in range(TRIES):
        result = await line.exchange(request, timeout_s=device.timeout.max_s, gap_s=device.alone_gap_s)
        if isinstance(result, Answer) and result.exception in GATEWAY_SILENT:
            reason = f"no reply, says the gateway ({exception_text(result.exception)})"
        elif isinstance(result, Answer):
            return result
        else:
            reason = result.text
            if result.kind == "lost":
                break
    hint = "; check unit, baud rate, format and the wires A and B"
    raise UnavailableError(f"{port}: unit {device.config.unit}: {reason}{hint}", code="no-reply")


def _profile(model: str, user_catalog: Path | None) -> Profile:
    if not model.endswith((".yaml", ".yml")):
        return load_catalog(user_catalog).find(model)
    profiles = load_profile_file(Path(model))
    if len(profiles) > 1:
        names = ", ".join(profile.id for profile in profiles)
        raise BadInputError(
            f"{model} has several models ({names}); put it into the user's catalogue and name one"
        )
    return profiles[0]


def endpoint_of(port: str, baudrate: int, character: str) -> tuple[Endpoint, bool]:
    """The endpoint, and whether it speaks Modbus TCP. Raises `BadInputError`."""
    if "://" not in port:
        return SerialPort(port, baudrate, character), False
    parts = urlsplit(port)
    try:
        number = parts.port or MODBUS_TCP_PORT
    except ValueError as err:
        raise BadInputError(f"{port}: the port is not a number from 1 to 65535", field="port") from err
    if parts.scheme not in ("tcp", "rtu+tcp") or not parts.hostname:
        raise BadInputError(f"{port}: is not a path, tcp://HOST:PORT or rtu+tcp://HOST:PORT", field="port")
    if parts.scheme == "tcp":
        return TcpHost(parts.hostname, number), True
    return TcpHost(parts.hostname, number, char_s(baudrate, character)), False
