"""Says what failed on the way to a broker: name, TCP, TLS, credentials or MQTT itself; never the password."""

import socket
import ssl
from typing import Final

from ccm_contracts.config.services import Mqtt
from ccm_uplink.sinks.tls import ClientCertificateError, refusal_of_ours

UNANSWERED: Final = "Operation timed out"
"""aiomqtt's text for a broker that took the connection and then kept silent."""

_REFUSED: Final = {
    "bad user name or password": "credentials: the broker refuses the user or the password",
    "not authorized": "credentials: the broker refuses the user or the password",
    "client identifier not valid": "MQTT: the broker refuses the client id",
    "unsupported protocol version": "MQTT: the broker does not speak MQTT 3.1.1",
    "server unavailable": "MQTT: the broker is not available",
}
"""CONNACK reasons as the client library names them, in lower case (MQTT 3.1.1 section 3.2.2.3)."""


def reason_of(err: BaseException, settings: Mqtt) -> str:
    """One line for the operator: which step failed, at which address."""
    at = f"{settings.hostname}:{settings.port}"
    # aiomqtt turns the socket's errors into its own and hides, but keeps, the first one.
    cause = err if isinstance(err, OSError | ValueError) else err.__cause__ or err.__context__ or err
    if isinstance(cause, socket.gaierror | UnicodeError):
        return f"name: {settings.hostname} is not known"
    if isinstance(cause, ssl.SSLError | ValueError):
        return f"TLS: {_of_tls(cause, at)}"
    if isinstance(cause, ConnectionRefusedError):
        return f"TCP: nobody listens at {at}"
    if str(err) == UNANSWERED:
        return f"MQTT: {at} does not answer"
    if isinstance(cause, TimeoutError):
        return f"TCP: {at} does not answer"
    if isinstance(cause, OSError):
        return f"TCP: {at}: {cause.strerror or cause}"
    return _of_broker(cause, at)


def _of_tls(err: ssl.SSLError | ValueError, at: str) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        why = getattr(err, "verify_message", "") or err.args[-1]
        return f"the certificate of {at} is refused: {str(why).rstrip('.')}"
    if isinstance(err, ClientCertificateError):
        return str(err)
    if "cadata" in str(err) or "NOT_ENOUGH_DATA" in str(err):
        return "the uploaded certificate cannot be used: it is damaged"
    if isinstance(err, ssl.SSLError):
        ours = refusal_of_ours(err)
        return f"{at} {ours}" if ours else f"{at}: {err.reason or err.args[-1]}"
    return f"the uploaded certificate cannot be used: {err}"


def _of_broker(err: BaseException, at: str) -> str:
    text = str(err)
    for reason, meaning in _REFUSED.items():
        if reason in text.lower():
            return f"{meaning} ({at})"
    return f"MQTT: {at}: {text}"
