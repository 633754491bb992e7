"""A SunSpec device in a search: registers as the specification lays them out (V1.1, section 6, common model 1)."""

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.signature import Read
from ccm_bus_reader.sunspec_survey import sunspec_device, sunspec_verdicts

PROFILES = load_catalog().models()


def text(value: str, registers: int) -> list[int]:
    data = value.encode().ljust(2 * registers, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def registers_of(model: int, length: int) -> dict[int, int]:
    common = [
        *text("Fronius", 16),
        *text("Symo 8.2-3-M", 16),
        *text("", 8),
        *text("1.2", 8),
        *text("S77", 16),
        1,
        0,
    ]
    words = [0x5375, 0x6E53, 1, 66, *common, model, length, *([0] * length), 0xFFFF, 0]
    return dict(enumerate(words, start=40000))


class Device:
    def __init__(self, registers: dict[int, int]) -> None:
        self._registers = registers

    async def words(self, read: Read) -> tuple[int, ...] | None:
        wanted = range(read.address, read.address + read.count)
        if read.function != 3 or any(at not in self._registers for at in wanted):
            return None
        return tuple(self._registers[at] for at in wanted)


async def test_inverter_tells_who_made_it_and_suits_inverters_of_its_brand() -> None:
    found = await sunspec_device(Device(registers_of(103, 50)).words)
    assert found is not None
    assert (found.maker, found.serial, found.version) == ("Fronius Symo 8.2-3-M", "S77", "1.2")
    verdicts = sunspec_verdicts(found, PROFILES)
    assert verdicts["sunspec/inverter"].confidence == "likely"
    certain = [model for model, verdict in verdicts.items() if verdict.confidence == "certain"]
    assert certain
    assert all(model.startswith("fronius/") for model in certain)
    assert "sunspec/meter" not in verdicts


async def test_meter_suits_meters_only() -> None:
    found = await sunspec_device(Device(registers_of(203, 105)).words)
    assert found is not None
    suits = set(sunspec_verdicts(found, PROFILES))
    assert "sunspec/meter" in suits
    assert "sunspec/inverter" not in suits
    assert "sunspec/meter-2" not in suits


async def test_device_without_the_marker_is_none() -> None:
    assert await sunspec_device(Device({40000: 1, 40001: 2}).words) is None
