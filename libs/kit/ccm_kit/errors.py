"""The errors of the gateway. Each has a stable `code`, and says whether trying again can help.

CcmError
├── BadInputError          what came in is wrong: a file, a field, a message; trying again does not help
├── UnavailableError       somebody or something does not answer now; trying again may help
│   └── BusDownError       NATS is away
└── RefusedError           the owner understood and said no (`code` says why)
"""


class CcmError(Exception):
    """Root of all. `field` is the path of the field at fault, as people write it."""

    code = "error"
    is_transient = False

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field


class BadInputError(CcmError):
    code = "bad-input"


class UnavailableError(CcmError):
    code = "unavailable"
    is_transient = True


class BusDownError(UnavailableError):
    code = "bus-down"


class RefusedError(CcmError):
    code = "refused"
