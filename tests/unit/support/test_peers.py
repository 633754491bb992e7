"""What a missing peer does to a test."""

import pytest

from tests.support.peers import need


def test_missing_peer_skips_and_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("tests.support.peers.SEARCH_PATH", "/nonexistent")
    with pytest.raises(pytest.skip.Exception, match=r"Debian package mosquitto-clients.*make test"):
        need("mosquitto_sub")


def test_missing_peer_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("tests.support.peers.SEARCH_PATH", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="with CI=true every peer must be there"):
        need("vsftpd")
