"""The Mosquitto broker and its command-line clients: MQTT peers that nobody here wrote."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.peers import need
from tests.support.ports import accepts, free_port
from tests.support.processes import Child
from tests.support.tls import Certificate
from tests.support.wait import until


@dataclass(frozen=True)
class BrokerOptions:
    """What the broker demands. Without users everybody may connect; with `client_ca` only its certificates."""

    users: Mapping[str, str] | None = None
    tls: Certificate | None = None
    client_ca: Path | None = None
    is_persistent: bool = False
    extra: str = ""


class Mosquitto:
    """One broker: port and stored data stay the same across `kill` and `start`."""

    def __init__(self, directory: Path, options: BrokerOptions, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.options = options
        self.directory = directory
        self._program = need("mosquitto")
        self._child: Child | None = None
        directory.mkdir(parents=True, exist_ok=True)
        for user, password in (options.users or {}).items():
            self.set_password(user, password)
        self.config_path.write_text(self._config())

    @property
    def config_path(self) -> Path:
        return self.directory / "mosquitto.conf"

    @property
    def pid(self) -> int:
        assert self._child, "the broker was not started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def log(self) -> str:
        return self._child.output if self._child else ""

    def set_password(self, user: str, password: str) -> None:
        """Enter a user into the password file; it counts from the next start on."""
        path = self.directory / "passwords"
        create = [] if path.exists() else ["-c"]
        subprocess.run(
            [need("mosquitto_passwd"), "-b", *create, path, user, password], check=True, capture_output=True
        )

    async def start(self) -> None:
        """Run the broker; returns when it accepts connections."""
        assert not self.is_running, "the broker runs already"
        process = Child.spawn(
            [self._program, "-c", self.config_path, "-v"], log=self.directory / "mosquitto.log"
        )
        self._child = process
        await process.printed(r"mosquitto version \S+ running")
        await until(lambda: accepts(self.port), deadline_s=5, what=f"mosquitto on port {self.port}")

    async def stop(self) -> None:
        """End the broker in good order."""
        if self._child:
            await self._child.stop()

    async def kill(self) -> None:
        """SIGKILL the broker; returns when it is gone."""
        if self._child:
            await self._child.kill()

    def _config(self) -> str:
        options = self.options
        lines = [f"listener {self.port} {self.host}", "connection_messages true"]
        if os.geteuid() == 0:
            lines.append("user root")
        if options.users is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self.directory / 'passwords'}"]
        if options.tls:
            lines += [f"certfile {options.tls.cert}", f"keyfile {options.tls.key}"]
        if options.client_ca:
            lines += [f"cafile {options.client_ca}", "require_certificate true"]
        if options.is_persistent:
            lines += ["persistence true", f"persistence_location {self.directory}/"]
            lines += ["autosave_interval 1", "autosave_on_changes true"]
        return "\n".join([*lines, options.extra, ""])


@asynccontextmanager
async def mosquitto_broker(
    tmp_path: Path, options: BrokerOptions | None = None, *, port: int | None = None
) -> AsyncIterator[Mosquitto]:
    """A running broker with its files in `tmp_path`; skips without Mosquitto."""
    broker = Mosquitto(tmp_path, options or BrokerOptions(), port or free_port())
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


@dataclass(frozen=True)
class Access:
    """How a client reaches a broker, Mosquitto or another."""

    port: int
    user: str | None = None
    password: str | None = None
    ca: Path | None = None
    certificate: Certificate | None = None
    host: str = "127.0.0.1"

    def arguments(self) -> list[str]:
        """The options that mosquitto_sub and mosquitto_pub share."""
        args = ["-h", self.host, "-p", str(self.port)]
        args += ["-u", self.user] if self.user is not None else []
        args += ["-P", self.password] if self.password is not None else []
        args += ["--cafile", str(self.ca)] if self.ca else []
        if self.certificate:
            args += ["--cert", str(self.certificate.cert), "--key", str(self.certificate.key)]
        return args


@dataclass(frozen=True)
class Message:
    """One received PUBLISH."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool

    @property
    def text(self) -> str:
        return self.payload.decode()


class Subscriber:
    """A running mosquitto_sub; `messages` holds all that it received, in order."""

    # Byte-exact, one line a message: the payload in hexadecimal.
    FORMAT = "MESSAGE\t%q\t%r\t%x\t%t"

    def __init__(self, process: Child) -> None:
        self._process = process

    @property
    def messages(self) -> list[Message]:
        found = []
        for line in self._process.output.split("\n")[:-1]:
            if line.startswith("MESSAGE\t"):
                _, qos, retain, payload, topic = line.split("\t", 4)
                found.append(Message(topic, bytes.fromhex(payload), int(qos), retain == "1"))
        return found

    @property
    def log(self) -> str:
        """Everything that mosquitto_sub printed."""
        return self._process.output

    def on(self, topic: str) -> list[Message]:
        """The messages of one topic."""
        return [message for message in self.messages if message.topic == topic]

    async def message(
        self, matches: Callable[[Message], bool] = lambda _: True, *, deadline_s: float = 10
    ) -> Message:
        """The first message, earlier ones included, that matches."""
        found = await until(
            lambda: [message for message in self.messages if matches(message)],
            deadline_s=deadline_s,
            what="a matching MQTT message",
        )
        return found[0]

    async def count(self, number: int, *, deadline_s: float = 10) -> list[Message]:
        """All messages, once there are at least `number`."""
        await until(
            lambda: len(self.messages) >= number, deadline_s=deadline_s, what=f"{number} MQTT messages"
        )
        return self.messages


@asynccontextmanager
async def subscriber(
    access: Access,
    *topics: str,
    directory: Path,
    qos: int = 1,
    client_id: str | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Subscriber]:
    """A mosquitto_sub whose subscriptions are acknowledged. `client_id` asks for a session that is kept."""
    # -d prints the SUBACK; stdbuf, because mosquitto_sub flushes its output only after a message.
    args = ["stdbuf", "-oL", str(need("mosquitto_sub")), "-d", "-q", str(qos), "-F", Subscriber.FORMAT]
    args += [*access.arguments(), *(["-c", "-i", client_id] if client_id else []), *options]
    for topic in topics:
        args += ["-t", topic]
    process = Child.spawn(args, log=directory / f"mosquitto_sub-{free_port()}.log")
    try:
        await process.printed(r"Subscribed \(mid: ")
        yield Subscriber(process)
    finally:
        await process.stop()


async def publish(
    access: Access,
    topic: str,
    payload: str,
    *,
    directory: Path,
    qos: int = 1,
    is_retained: bool = False,
) -> None:
    """Publish one message with mosquitto_pub; returns after the broker's acknowledgement."""
    args = [str(need("mosquitto_pub")), *access.arguments(), "-t", topic, "-m", payload, "-q", str(qos)]
    process = Child.spawn([*args, *(["-r"] if is_retained else [])], log=directory / "mosquitto_pub.log")
    status = await process.exited()
    assert status == 0, f"mosquitto_pub: {process.output}"
