"""When a plant's balance is published, and what counts as stale; time is handed in."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Balance, Reading
from ccm_solar.plant import Held, Moment, PlantWatch

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PLANT = Plant(id="house", production=["roof"], grid=["grid"])


def at(seconds: float) -> Moment:
    return Moment(NOON + timedelta(seconds=seconds), 1000 + seconds)


class Site:
    """A watch and the readings that it is shown."""

    def __init__(self, poll_s: float = 1.0) -> None:
        self.watch = PlantWatch("GW1", PLANT, {"roof": poll_s, "grid": poll_s}, started=at(0))
        self.readings: dict[str, Held] = {}

    def read(
        self, device: str, p: float, seconds: float, *, quality: Literal["good", "stale", "bad"] = "good"
    ) -> None:
        reading = Reading(
            gateway="GW1", device=device, ts=at(seconds).now, values={"p": p}, quality=quality, seq=0
        )
        self.readings[device] = Held(reading, at(seconds).mono_s)
        self.watch.notice(device)

    def balance(self, seconds: float) -> Balance | None:
        return self.watch.balance(self.readings, at(seconds))

    def published(self, seconds: float) -> Balance:
        balance = self.balance(seconds)
        assert balance is not None
        return balance


def complete_site(poll_s: float = 1.0) -> Site:
    site = Site(poll_s)
    site.read("grid", 200.0, 0.0)
    site.read("roof", 100.0, 0.5)
    return site


def test_balance_has_the_newest_readings_time() -> None:
    balance = complete_site().published(0.6)

    assert (balance.ts, balance.p_load, balance.quality) == (at(0.5).now, 300.0, "good")


def test_readings_within_a_second_are_joined() -> None:
    site = complete_site()
    site.published(0.6)
    site.read("grid", 250.0, 1.0)
    assert site.balance(1.1) is None
    assert 0.4 < site.watch.wait_s(at(1.1).mono_s) < 0.6

    site.read("roof", 110.0, 1.5)

    assert site.published(1.6).p_load == 360.0


def test_nothing_new_publishes_nothing() -> None:
    site = complete_site()
    site.published(0.6)

    assert site.balance(5.0) is None


def test_device_outside_the_plant_publishes_nothing() -> None:
    site = complete_site()
    site.published(0.6)
    site.read("boiler", 1.0, 2.0)

    assert site.balance(3.0) is None


def test_stale_device_turns_its_flows_unknown_without_a_new_reading() -> None:
    site = complete_site()
    site.published(0.6)
    site.read("grid", 200.0, 9.0)
    site.published(9.0)
    assert site.balance(10.4) is None

    balance = site.published(10.6)

    assert (balance.p_prod, balance.p_load, balance.p_grid) == (None, None, 200.0)
    assert (balance.missing, balance.quality, balance.ts) == (["roof"], "stale", at(10.6).now)
    assert site.balance(12.0) is None


def test_slow_device_is_stale_after_three_polls() -> None:
    site = complete_site(poll_s=60.0)
    site.published(0.6)
    assert site.balance(179.9) is None

    assert site.published(180.3).missing == ["grid"]


def test_clock_that_stepped_back_does_not_keep_a_reading_fresh() -> None:
    site = complete_site()
    site.published(0.6)

    balance = site.watch.balance(site.readings, Moment(NOON - timedelta(hours=1), 1000 + 11))

    assert balance is not None
    assert balance.missing == ["roof", "grid"]


def test_bad_reading_is_missing() -> None:
    site = Site()
    site.read("grid", 200.0, 0.0)
    site.read("roof", 100.0, 0.0, quality="bad")

    balance = site.published(0.1)

    assert (balance.missing, balance.quality, balance.p_load) == (["roof"], "bad", None)


def test_time_increases_strictly_even_after_a_restart() -> None:
    site = complete_site()
    site.watch.last_ts = at(0.5).now

    assert site.published(0.6).ts == at(0.501).now


def test_last_balance_of_a_wrong_clock_does_not_hold_the_next_back() -> None:
    site = complete_site()
    site.watch.last_ts = at(3600).now

    assert site.published(0.6).ts == at(0.5).now


def test_incompleteness_is_reported_once_and_its_end_too() -> None:
    site = Site()
    site.read("grid", 1.0, 9.0)
    site.published(9.1)
    assert site.watch.turn(at(9.1).mono_s) is None, "devices are still being found"

    first = site.watch.turn(at(10.0).mono_s)
    assert first is not None
    assert first.missing == ("roof",)
    assert site.watch.turn(at(11.0).mono_s) is None

    site.read("roof", 1.0, 11.5)
    site.published(11.6)
    end = site.watch.turn(at(11.6).mono_s)
    assert end is not None
    assert end.missing == ()
    assert site.watch.turn(at(12.0).mono_s) is None


def test_plant_that_was_never_read_says_so_after_the_grace() -> None:
    site = Site()
    assert site.balance(9.0) is None

    balance = site.published(10.0)

    assert (balance.missing, balance.ts, balance.quality) == (["roof", "grid"], at(10.0).now, "stale")
