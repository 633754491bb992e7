"""Says in words which certificate a server shows, also one that is refused."""

import socket
import ssl

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID


def shown_by(host: str, port: int, timeout_s: float) -> bytes | None:
    """The certificate in DER that the server shows, whether it is to be trusted or not; None without TLS. Blocking.

    Only looked at: nothing is sent over this connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            return secure.getpeercert(binary_form=True)
    except OSError:
        return None


def describe(der: bytes) -> str:
    """Subject, issuer, names and dates, in one line."""
    certificate = x509.load_der_x509_certificate(der)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        f"certificate of {_name(certificate.subject)} for {', '.join(_names(certificate)) or 'no host'}, "
        f"issued by {_name(certificate.issuer)}, valid {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    )


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string() or "nobody"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return []
    value = extension.value
    assert isinstance(value, x509.SubjectAlternativeName)
    return [str(each.value) for each in value if isinstance(each, x509.DNSName | x509.IPAddress)]
