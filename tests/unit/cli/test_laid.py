"""A site file that was laid before: only what is new in it is laid again."""

from pathlib import Path

from ccm_contracts.config.document import Document
from ccmaster.laid import Laid


def document(poll_s: float = 1, password: str = "one") -> Document:
    device = {"id": "m", "host": "192.0.2.7", "model": "eastron/sdm630", "unit": 1, "poll_s": poll_s}
    return Document.model_validate({"devices": [device], "mqtt": {"password": password}})


def laid(tmp_path: Path) -> Laid:
    return Laid(tmp_path / "laid.json")


SECTIONS = ["devices", "mqtt"]


def test_everything_is_laid_the_first_time_and_nothing_again(tmp_path: Path) -> None:
    record = laid(tmp_path)
    assert record.fresh(document(), SECTIONS) == SECTIONS
    record.note(document(), SECTIONS)
    assert record.fresh(document(), SECTIONS) == []


def test_what_the_file_says_anew_is_laid_again_a_password_too(tmp_path: Path) -> None:
    record = laid(tmp_path)
    record.note(document(), SECTIONS)
    assert record.fresh(document(poll_s=2), SECTIONS) == ["devices"]
    assert record.fresh(document(password="two"), SECTIONS) == ["mqtt"]


def test_a_section_that_the_file_did_not_name_before_is_laid(tmp_path: Path) -> None:
    record = laid(tmp_path)
    record.note(document(), ["devices"])
    assert record.fresh(document(), SECTIONS) == ["mqtt"]


def test_the_record_is_private_and_has_no_secret_in_it(tmp_path: Path) -> None:
    record = laid(tmp_path)
    record.note(document(password="correct horse"), SECTIONS)
    path = tmp_path / "laid.json"
    assert "correct horse" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_record_that_cannot_be_read_lays_everything(tmp_path: Path) -> None:
    record = laid(tmp_path)
    (tmp_path / "laid.json").write_text("{broken")
    assert record.fresh(document(), SECTIONS) == SECTIONS
