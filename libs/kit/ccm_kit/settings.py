"""What a process is told by its environment (`CCM_*`), read once, at its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ccm_kit.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen; nobody reads the environment later."""

    service: str
    gateway: str
    data_dir: Path
    nats_url: str
    nats_user: str
    nats_password: str
    http_host: str
    http_port: int
    database_url: str
    log_style: str
    log_level: str
    secret_key_file: Path
    admin_password: str
    hal: str
    hal_dir: Path
    die_with_parent: bool
    alive_file: Path | None
    default_broker: str = ""
    """`mqtt[s]://host[:port]`: where `broker: default` of the MQTT settings leads."""

    def __repr__(self) -> str:
        return f"Settings(service={self.service!r}, gateway={self.gateway!r})"


def settings_from(service: str, env: Mapping[str, str]) -> Settings:
    """Raises `BadInputError` naming the variable at fault."""
    data_dir = Path(env.get("CCM_DATA_DIR", ".ccmaster")).absolute()
    return Settings(
        service=service,
        gateway=_gateway(env),
        data_dir=data_dir,
        nats_url=env.get("CCM_NATS_URL", "nats://127.0.0.1:4222"),
        nats_user=env.get("CCM_NATS_USER", service),
        nats_password=_secret(env, "CCM_NATS_PASSWORD"),
        http_host=env.get("CCM_HTTP_HOST", "0.0.0.0"),
        http_port=_port(env, "CCM_HTTP_PORT", 8080),
        database_url=env.get("CCM_DATABASE_URL") or f"sqlite:///{data_dir}/history.db",
        log_style=_choice(env, "CCM_LOG", ("text", "json")),
        log_level=_choice(env, "CCM_LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
        secret_key_file=Path(env.get("CCM_SECRET_KEY_FILE") or data_dir / "secret.key"),
        admin_password=_secret(env, "CCM_ADMIN_PASSWORD"),
        hal=_choice(env, "CCM_HAL", ("sim", "linux")),
        hal_dir=Path(env.get("CCM_HAL_DIR") or data_dir / "site"),
        die_with_parent=env.get("CCM_DIE_WITH_PARENT") == "1",
        alive_file=Path(env["CCM_ALIVE_FILE"]) if env.get("CCM_ALIVE_FILE") else None,
        default_broker=_broker(env, "CCM_DEFAULT_BROKER"),
    )


def _gateway(env: Mapping[str, str]) -> str:
    serial = env.get("CCM_GATEWAY", "CCM000000")
    if not serial or not all(c.isascii() and (c.isalnum() or c in "_-") for c in serial):
        raise BadInputError(f"CCM_GATEWAY: {serial!r} must be letters, digits, _ and -", field="CCM_GATEWAY")
    return serial


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise BadInputError(f"{name}: {text!r} is not a port, 1 to 65535", field=name)
    return int(text)


def _broker(env: Mapping[str, str], name: str) -> str:
    address = env.get(name, "").strip()
    if address and not address.startswith(("mqtt://", "mqtts://")):
        raise BadInputError(f"{name}: {address!r} must start with mqtt:// or mqtts://", field=name)
    return address


def _choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or allowed[0]
    if value not in allowed:
        raise BadInputError(f"{name}: {value!r} is not one of {', '.join(allowed)}", field=name)
    return value


def _secret(env: Mapping[str, str], name: str) -> str:
    """From `NAME_FILE` (a path) or from `NAME`."""
    path = env.get(f"{name}_FILE")
    if not path:
        return env.get(name, "")
    try:
        return Path(path).read_text().strip()
    except OSError as err:
        raise BadInputError(f"{name}_FILE: cannot read {path}: {err.strerror}", field=f"{name}_FILE") from err
