"""Says what failed on the way to a broker: name, TCP, TLS, credentials or MQTT itself; never the password."""

import socket
import ssl
from typing import Final

from ccm_contracts.config.services import Mqtt

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
    if isinstance(cause, socket.gaierror):
        return f"name: {settings.hostname} is not known"
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = getattr(cause, "verify_message", "") or cause.args[-1]
        return f"TLS: the certificate of {at} is refused: {str(why).rstrip('.')}"
    if "cadata" in str(cause) or "NOT_ENOUGH_DATA" in str(cause):
        return "TLS: the uploaded certificate cannot be used: it is damaged"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {at}: {cause.reason or cause.args[-1]}"
    if isinstance(cause, ConnectionRefusedError):
        return f"TCP: nobody listens at {at}"
    if str(err) == UNANSWERED:
        return f"MQTT: {at} does not answer"
    if isinstance(cause, TimeoutError):
        return f"TCP: {at} does not answer"
    if isinstance(cause, OSError):
        return f"TCP: {at}: {cause.strerror or cause}"
    if isinstance(cause, ValueError):
        return f"TLS: the uploaded certificate cannot be used: {cause}"
    return _of_broker(cause, at)


def _of_broker(err: BaseException, at: str) -> str:
    text = str(err)
    for reason, meaning in _REFUSED.items():
        if reason in text.lower():
            return f"{meaning} ({at})"
    return f"MQTT: {at}: {text}"
