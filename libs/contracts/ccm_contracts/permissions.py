"""Each service's NATS permissions, derived from the table of channels: default deny.

Renders them for the server's configuration. Does not know passwords: they are named by environment variables.
"""

from dataclasses import dataclass

from ccm_contracts import subjects
from ccm_contracts.channels import (
    BUCKETS,
    CONFIG_BUCKET,
    EVENT,
    SERVICES,
    STREAMS,
    Service,
    Stream,
    channels_owned_by,
    channels_read_by,
)
from ccm_contracts.subjects import inbox_prefix
from ccm_contracts.verb_table import VERBS

ADMIN = "admin"
"""The operator's own credential: `ccmaster` uses it to lay the configuration and to look."""

CONSUMING: frozenset[Service] = frozenset({"uplink"})
"""Who may have durable consumers, whose messages are acknowledged: a stranger could take their deliveries away.

Everybody else follows: a consumer of his own, for the moment, without acknowledgements.
"""


@dataclass(frozen=True, slots=True)
class Permissions:
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def permissions_of(service: Service, gateway: str = "*") -> Permissions:
    """What `service` may publish and subscribe to; `*` for a credential that serves any gateway."""
    publish = {"$JS.API.INFO", "$JS.FC.>"} | _keeping() | _reading(service, gateway)
    subscribe = {f"{inbox_prefix(service)}.>", "$SRV.*", f"$SRV.*.{service}", f"$SRV.*.{service}.*"}
    for channel in channels_owned_by(service):
        own = {"source": service} if channel is EVENT else {}
        subject = channel.subject(gw=gateway, **own)
        publish |= {subject, f"$JS.API.DIRECT.GET.{channel.stream}.{subject}"}
    for verb in VERBS:
        if service in verb.callers:
            publish.add(verb.subject(gateway))
        if service == verb.service:
            subscribe.add(verb.subject(gateway))
    return Permissions(_widest(publish), _widest(subscribe))


def _widest(subjects_: set[str]) -> tuple[str, ...]:
    """Sorted, without those that another one covers."""
    return tuple(sorted(one for one in subjects_ if not any(_covers(wide, one) for wide in subjects_)))


def _covers(wide: str, narrow: str) -> bool:
    pairs = zip(wide.split("."), narrow.split("."), strict=False)
    return wide != narrow and wide.count(".") == narrow.count(".") and all(a in ("*", b) for a, b in pairs)


def _keeping() -> set[str]:
    """Whoever comes first makes the streams and buckets; nobody may change, empty or delete one."""
    names = (*(stream.name for stream in STREAMS), *(bucket.stream for bucket in BUCKETS))
    return {f"$JS.API.STREAM.{verb}.{name}" for name in names for verb in ("CREATE", "INFO")}


def _reading(service: Service, gateway: str) -> set[str]:
    """Consumers are made with their filter in the subject, so that a reader gets what the table gives him."""
    rights = set()
    for channel in channels_read_by(service):
        stream, subject = channel.stream, channel.subject(gw=gateway)
        rights |= {f"$JS.API.DIRECT.GET.{stream}.{subject}", f"$JS.API.CONSUMER.CREATE.{stream}.*.{subject}"}
        if channel.kept_in is CONFIG_BUCKET:
            rights.add(f"$JS.API.CONSUMER.CREATE.{stream}.*.{subjects.fill(subjects.CONFIG, gw=gateway)}")
        if service in CONSUMING:
            rights |= {f"$JS.API.CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "MSG.NEXT")}
        if service in CONSUMING and isinstance(channel.kept_in, Stream):
            rights |= {f"$JS.API.CONSUMER.NAMES.{stream}", f"$JS.API.DIRECT.GET.{stream}"}
            rights |= {f"$JS.ACK.{stream}.>"}
            rights.add(f"$JS.API.CONSUMER.CREATE.{stream}.*.{subjects.fill(subjects.EVERYTHING, gw=gateway)}")
    return rights


def _quoted(subjects_: tuple[str, ...]) -> str:
    return "[\n            " + ",\n            ".join(f'"{subject}"' for subject in subjects_) + "]"


def _user(name: str, publish: str, subscribe: str, *, password: str, answers: bool) -> str:
    respond = ', allow_responses: { max: 1, expires: "1m" }' if answers else ""
    return (
        f'      {{ user: "{name}", password: {password},\n'
        f"        permissions: {{ publish: {publish},\n"
        f"          subscribe: {subscribe}{respond} }} }}"
    )


def password_variable(user: str) -> str:
    """The environment variable that gives a user's password to the server."""
    return f"CCM_NATS_PASSWORD_{user.replace('-', '_').upper()}"


def users_block(gateway: str = "*", passwords: dict[str, str] | None = None) -> str:
    """The `users: [...]` of the server's CCM account; a password not given is read from `password_variable`."""

    def password(user: str) -> str:
        given = (passwords or {}).get(user)
        return f'"{given}"' if given is not None else f"${password_variable(user)}"

    rows = [_user(ADMIN, '">"', '">"', password=password(ADMIN), answers=False)]
    for service in SERVICES:
        rights = permissions_of(service, gateway)
        rows.append(
            _user(
                service,
                _quoted(rights.publish),
                _quoted(rights.subscribe),
                password=password(service),
                answers=True,
            )
        )
    return "users: [\n" + ",\n".join(rows) + "\n    ]"


__all__ = ["ADMIN", "CONSUMING", "Permissions", "password_variable", "permissions_of", "users_block"]
