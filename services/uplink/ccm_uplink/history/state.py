"""How far the upkeep has come, in the database."""

from sqlalchemy import Connection, select

from ccm_uplink.history.levels import LEVELS
from ccm_uplink.history.retention import Floors
from ccm_uplink.history.statements import Insert
from ccm_uplink.history.tables import state

_INSERT = Insert(state, replace=True)


def read_state(connection: Connection, gateway: str) -> dict[str, str]:
    found = connection.execute(select(state.c.name, state.c.value).where(state.c.gateway == gateway))
    return {row.name: row.value for row in found}


def write_state(connection: Connection, gateway: str, name: str, value: str) -> None:
    _INSERT.run(connection, [(gateway, name, value)])


def floors(connection: Connection, gateway: str) -> Floors:
    """Up to when each resolution was dropped; 0: nothing was."""
    known = read_state(connection, gateway)
    return {level.name: int(known.get(level.floor_name, "0")) for level in LEVELS}
