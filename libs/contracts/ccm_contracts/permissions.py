"""Each service's NATS permissions, derived from the table of channels: default deny.

Renders them for the server's configuration. Does not know passwords: they are named by environment variables.
"""

from dataclasses import dataclass

from ccm_contracts.channels import (
    BUCKETS,
    EVENT,
    SERVICES,
    STREAMS,
    VERBS,
    Service,
    channels_owned_by,
    channels_read_by,
)
from ccm_contracts.subjects import inbox_prefix

ADMIN = "admin"
"""The operator's own credential: `ccmaster` uses it to lay the configuration and to look."""


@dataclass(frozen=True, slots=True)
class Permissions:
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def permissions_of(service: Service, gateway: str = "*") -> Permissions:
    """What `service` may publish and subscribe to; `*` for a credential that serves any gateway."""
    publish: set[str] = set()
    subscribe: set[str] = {f"{inbox_prefix(service)}.>", "$SRV.>"}
    for channel in channels_owned_by(service):
        own = {"source": service} if channel is EVENT else {}
        publish.add(channel.subject(gw=gateway, **own))
    for channel in channels_read_by(service):
        publish |= {f"$JS.API.CONSUMER.*.{channel.stream}.>", f"$JS.ACK.{channel.stream}.>"}
        publish |= {f"$JS.API.DIRECT.GET.{channel.stream}.>", f"$JS.API.CONSUMER.MSG.NEXT.{channel.stream}.>"}
    for name in (*(stream.name for stream in STREAMS), *(bucket.stream for bucket in BUCKETS)):
        publish |= {f"$JS.API.STREAM.CREATE.{name}", f"$JS.API.STREAM.INFO.{name}"}
        publish |= {f"$JS.API.STREAM.MSG.GET.{name}", f"$JS.API.DIRECT.GET.{name}"}
    for verb in VERBS:
        if service in verb.callers:
            publish.add(verb.subject(gateway))
        if service == verb.service:
            subscribe.add(verb.subject(gateway))
    publish |= {"$JS.API.INFO", "$JS.FC.>"}
    return Permissions(tuple(sorted(publish)), tuple(sorted(subscribe)))


def _quoted(subjects: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"


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
        answers = True
        rows.append(
            _user(
                service,
                _quoted(rights.publish),
                _quoted(rights.subscribe),
                password=password(service),
                answers=answers,
            )
        )
    return "users: [\n" + ",\n".join(rows) + "\n    ]"


__all__ = ["ADMIN", "Permissions", "password_variable", "permissions_of", "users_block"]
