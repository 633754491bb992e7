"""The operator reads which step failed: name, TCP, TLS, credentials or MQTT."""

import socket
import ssl

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_contracts.types import Secret
from ccm_uplink.sinks.mqtt_errors import reason_of

SETTINGS = Mqtt(host="mqtts://broker.example", port=8883, password=Secret("geheim"))


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name: broker.example is not known"),
        (ConnectionRefusedError(111, "Connection refused"), "TCP: nobody listens at broker.example:8883"),
        (TimeoutError("timed out"), "TCP: broker.example:8883 does not answer"),
        (
            ssl.SSLCertVerificationError("no match"),
            "TLS: the certificate of broker.example:8883 is refused: no match",
        ),
        (
            ssl.SSLCertVerificationError(1, "is not valid for 'broker.example'."),
            "TLS: the certificate of broker.example:8883 is refused: is not valid for 'broker.example'",
        ),
        (  # what Python 3.11 says of a PEM text whose content is damaged
            ssl.SSLError(9, "[PEM: BAD_BASE64_DECODE] cadata does not contain a certificate"),
            "TLS: the uploaded certificate cannot be used: it is damaged",
        ),
        (
            RuntimeError("[code:134] Bad user name or password"),
            "credentials: the broker refuses the user or the password (broker.example:8883)",
        ),
        (RuntimeError("odd"), "MQTT: broker.example:8883: odd"),
    ],
)
def test_reason_names_the_step(err: Exception, text: str) -> None:
    assert reason_of(err, SETTINGS) == text
