"""The gateway's hardware behind small interfaces: `base.py` names them, one module each implements them."""

from ccm_io.hal.base import Hal
from ccm_kit.errors import BadInputError
from ccm_kit.settings import Settings


def open_hal(settings: Settings) -> Hal:
    """The backend that `CCM_HAL` names. Raises `BadInputError` for one that does not exist yet."""
    if settings.hal != "sim":
        raise BadInputError(f"CCM_HAL: {settings.hal}: no relay backend yet, only sim", field="CCM_HAL")
    from ccm_io.hal.sim import sim_hal

    return sim_hal(settings.hal_dir)
