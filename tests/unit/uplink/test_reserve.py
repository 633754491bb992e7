"""The file that keeps room for the moment when the disk is full."""

from pathlib import Path

from ccm_uplink.history.reserve import RESERVE_BYTES, Reserve


def test_reserve_takes_its_room_and_gives_it_up(tmp_path: Path) -> None:
    reserve = Reserve(f"sqlite:///{tmp_path}/history.db")
    reserve.keep()
    kept = tmp_path / "history.db-reserve"
    assert kept.stat().st_blocks * 512 >= RESERVE_BYTES  # really taken, not a hole
    reserve.give_up()
    reserve.give_up()
    assert not kept.exists()


def test_other_databases_need_none(tmp_path: Path) -> None:
    Reserve("postgresql+psycopg://ccm@db/ccm").keep()
    Reserve("sqlite://").keep()
    assert list(tmp_path.iterdir()) == []
