"""How a server's certificate is checked (manual section 6.2.1.3.1): system roots, an own root, or one pinned.

Nothing is accepted unchecked.
"""

import os
import ssl
import tempfile
from pathlib import Path
from typing import Final

from ccm_contracts.config.services import Tls


class ClientCertificateError(ValueError):
    """What the gateway itself would show cannot be used; the text says why, and nothing of the key."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Raises `ssl.SSLError` or `ValueError` when a PEM text cannot be read, `ClientCertificateError` for our own.

    `none`: the system's roots. `ca`: the given PEM is the only root. `self-signed`: the peer must show exactly the
    given certificate; its name then does not matter, its dates do.
    """
    if tls.type == "none" or (tls.type == "ca" and not tls.certificate):
        context = ssl.create_default_context()
    else:
        context = ssl.create_default_context(cadata=tls.certificate)
    if tls.type == "self-signed":
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        pinned = ssl.PEM_cert_to_DER_cert(_first(tls.certificate))
        context.sslsocket_class = _pinned_socket(pinned)
        context.sslobject_class = _pinned_object(pinned)
    if tls.client_certificate:
        _load_client(context, tls)
    return context


def _first(pem: str) -> str:
    """The first certificate of a PEM text, without what is around it."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, found, rest = pem.partition(begin)
    body, closed, _ = rest.partition(end)
    if not found or not closed:
        raise ValueError("the text holds no certificate")
    return f"{begin}{body}{end}\n"


OTHER: Final = "the server shows another certificate than the uploaded one"
"""A trust anchor may sign others: only the very certificate counts."""


def _pinned_socket(der: bytes) -> type[ssl.SSLSocket]:
    """For blocking connections."""

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            if self.getpeercert(binary_form=True) != der:
                raise ssl.SSLCertVerificationError(OTHER)

    return PinnedSocket


def _pinned_object(der: bytes) -> type[ssl.SSLObject]:
    """For the connections of asyncio."""

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if self.getpeercert(binary_form=True) != der:
                raise ssl.SSLCertVerificationError(OTHER)

    return PinnedObject


def _no_password() -> str:
    """OpenSSL would ask for it at the terminal."""
    raise ClientCertificateError("the client key has a password: upload it without")


def _load_client(context: ssl.SSLContext, tls: Tls) -> None:
    """The ssl module reads keys from files only: one that its owner alone may read, and only for this moment."""
    handle, name = tempfile.mkstemp(prefix="ccm-", suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{tls.client_certificate.strip()}\n{tls.client_key.reveal().strip()}\n")
        context.load_cert_chain(name, password=_no_password)
    except ssl.SSLError as err:
        if err.reason == "KEY_VALUES_MISMATCH":
            raise ClientCertificateError("the client key belongs to another certificate") from err
        raise ClientCertificateError("the client certificate or its key is no readable PEM text") from err
    finally:
        Path(name).unlink()


_REFUSALS: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a client certificate, and there is none",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "breaks the handshake off; it may want a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "refuses the client certificate: it does not know who issued it",
    "SSLV3_ALERT_BAD_CERTIFICATE": "refuses the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "refuses the client certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "refuses the client certificate: it was revoked",
}
"""A peer's alerts (RFC 8446, section 6.2) as OpenSSL names them."""


def refusal_of_ours(err: BaseException) -> str:
    """What the peer says of the gateway's own certificate, or ""."""
    return _REFUSALS.get(err.reason, "") if isinstance(err, ssl.SSLError) else ""


def hint_of(err: BaseException, tls: Tls, peer: str) -> str:
    """What to do about a certificate that was refused; `peer` is what the far end is called."""
    if isinstance(err, ClientCertificateError) or refusal_of_ours(err):
        return "Upload the gateway's own certificate and the key that was made with it, both as PEM."
    text = str(err).lower()
    if "expired" in text:
        return f"The certificate has ended: renew it at the {peer}, or check the gateway's clock."
    if "hostname mismatch" in text or "ip address mismatch" in text:
        return "Use a host name that the certificate names."
    if tls.type == "self-signed":
        return f"Upload the certificate that the {peer} shows now."
    if "self-signed" in text or "self signed" in text:
        return f"Choose 'Self-signed certificate' and upload the {peer}'s certificate, or upload its root."
    return "Upload the root certificate of the authority that issued it."
