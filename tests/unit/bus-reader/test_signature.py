"""Models told apart by their probes; registers from the makers' published maps."""

import struct

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.signature import Read, Verdict, candidates_of, signatures_of
from ccm_contracts.scan_state import Confidence

CATALOG = load_catalog()
SIGNATURES = signatures_of(CATALOG.models())


def verdicts(function: int, address: int, words: list[int]) -> dict[str, Confidence]:
    found = {}
    for read, clues in SIGNATURES.clues:
        if (read.function, read.address) == (function, address):
            assert isinstance(read, Read)
            for clue in clues:
                confidence = clue.judge(words)
                if confidence:
                    found[clue.model] = confidence
    return found


def test_ccm_models_are_told_apart_by_their_model_register() -> None:
    """docs/ccm-modbus-map.md, register 4."""
    assert verdicts(3, 4, [0x0104]) == {"energyccm/ccm4": "certain"}
    assert verdicts(3, 4, [0x0112]) == {"energyccm/ccm2-w": "certain"}
    assert verdicts(3, 4, [0x9999]) == {}


def test_huawei_is_recognised_by_its_model_text() -> None:
    """wlcrs/huawei-solar-lib, src/huawei_solar/registers.py: 30000, model name, 15 registers."""
    text = b"SUN2000-8KTL-M1".ljust(30, b"\0")
    words = list(struct.unpack(">15H", text))
    assert verdicts(3, 30000, words)["huawei/sun2000"] == "certain"
    assert "huawei/sun2000" not in verdicts(3, 30000, [0x4142] * 15)


def test_frequency_in_the_band_makes_an_eastron_likely_and_no_more() -> None:
    """Eastron SDM630 Modbus protocol: input 0x0046, frequency, float."""
    fifty, ninety = [0x4248, 0x0000], [0x42B4, 0x0000]
    assert verdicts(4, 0x46, fifty)["eastron/sdm630"] == "likely"
    assert "eastron/sdm630" not in verdicts(4, 0x46, ninety)


def test_telling_reads_come_first() -> None:
    strengths = [min(clue.strength for clue in clues) for _, clues in SIGNATURES.clues]
    assert strengths == sorted(strengths)


def test_certain_candidate_leaves_no_room_for_possible_ones() -> None:
    both = {"b/x": Verdict("X", "possible"), "a/y": Verdict("Y", "certain")}
    assert [each.model for each in candidates_of(both)] == ["a/y"]


def test_equally_likely_models_are_told_apart_by_how_well_they_fit() -> None:
    both = {"a/single": Verdict("S", "likely", 1), "b/three": Verdict("T", "likely", 3)}
    assert [each.model for each in candidates_of(both)] == ["b/three", "a/single"]
