"""Why a step of a session with an FTP server failed, in one line for the operator, without the password. Pure."""

import socket
import ssl
from typing import Final, Literal

from ccm_contracts.config.services import Ftp

Step = Literal["name", "tcp", "tls", "login", "directory", "write", "rename", "delete"]
"""What a session goes through, in order."""

MISSING: Final = "550"
DEMANDS_TLS: Final = "the server demands TLS"
UNKNOWN_COMMAND: Final = ("500", "502", "504")


class FtpError(Exception):
    """Which step failed and why: one line for the operator, without the password. `code` is the server's, or ""."""

    def __init__(self, step: Step, text: str, *, code: str = "") -> None:
        super().__init__(f"{step}: {text}")
        self.step = step
        self.text = text
        self.code = code


def broken(step: Step, settings: Ftp, err: OSError) -> FtpError:
    """A step that ended without an answer of the server."""
    at = f"{settings.server}:{settings.port}"
    match err:
        case ssl.SSLCertVerificationError():
            why = getattr(err, "verify_message", "") or err.args[-1]
            return FtpError("tls", f"the certificate of {at} is refused: {why}")
        case ssl.SSLError() if "cadata" in str(err):
            return FtpError("tls", "the uploaded certificate cannot be used: it is damaged")
        case ssl.SSLError():
            return FtpError("tls", f"{at}: {err.reason or err.args[-1]}")
        case socket.gaierror():
            return FtpError("name", f"{settings.server} is not known")
        case ConnectionRefusedError():
            return FtpError(step, f"nobody listens at {at}")
        case TimeoutError():
            return FtpError(step, f"{at} does not answer")
        case ConnectionError():
            return FtpError(step, f"{at} closed the connection")
    return FtpError(step, f"{at}: {err.strerror or err}")


def refusal(step: Step, at: str, code: str, said: str) -> str:
    """What an answer means; `code` and `said` are the server's."""
    meaning = {
        "530": "the server refuses the user or the password" if step == "login" else "",
        "552": "the server's disk or quota is full",
        "452": "the server's disk is full",
        "522": "the server demands another protection of data connections",
        "534": "the server does not offer TLS",
    }.get(code, "")
    if step == "tls" and code in (*UNKNOWN_COMMAND, "530"):  # vsftpd without TLS asks to sign in first
        meaning = "the server does not offer TLS"
    if step == "login" and any(word in said for word in ("TLS", "SSL", "encryption")):
        meaning = DEMANDS_TLS
    return f"{meaning or 'the server refuses'} ({at}: {code} {said})"
