"""Devices found and added, and units given, in the portal: Chromium on the running demo, at both widths."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Browser
from tests.support.gateway import Gateway, ccmaster, demo_that_reads
from tests.support.portal import DESKTOP, PHONE, fits, opened
from tests.support.wait import until_sync

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("find")
    with demo_that_reads(directory) as running:
        yield running


def without(demo: Gateway, device: str) -> None:
    """Take a device out of the configuration."""
    stored = demo.client.get("/config/devices")
    rest = [each for each in stored.json() if each["id"] != device]
    answer = demo.client.put("/config/devices", json=rest, headers={"If-Match": stored.headers["etag"]})
    assert answer.status_code == 200, answer.text


def device_at(demo: Gateway, unit: int) -> Any:
    found = demo.get("/devices")
    return next((each for each in found["devices"] if each["unit"] == unit and each["online"]), None)


def press(demo: Gateway, tmp_path: Path, *devices: str) -> None:
    done = ccmaster("demo", "--press", *devices, "--data-dir", demo.data_dir, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_device_is_found_and_added_with_a_few_clicks(
    browser: Browser, demo: Gateway, tmp_path: Path, size: tuple[int, int]
) -> None:
    house = next((each["id"] for each in demo.told("/devices")["devices"] if each["unit"] == 2), None)
    without(demo, house or "house")
    page = await opened(browser, demo, "scan/ext", size)
    await page.wait("!!document.querySelector('.start')")
    await page.fill("input[aria-label='First unit']", "1")
    await page.fill("input[aria-label='Last unit']", "4")
    await page.click(".start")
    await page.wait("!!document.querySelector('progress')", deadline_s=10)
    await fits(page, size, tmp_path / "scan-running.png")
    await page.wait("!!document.querySelector('[data-unit=\"2\"] .add')", deadline_s=40)
    await page.wait(
        "document.querySelector('.progress').innerText.includes('Search complete')", deadline_s=60
    )
    await fits(page, size, tmp_path / "scan-done.png")
    await page.click("[data-unit='2'] .add")
    await page.wait("!!document.querySelector('dialog .save')")
    await fits(page, size, tmp_path / "scan-add.png")
    await page.fill("dialog input[name=alias]", "Kitchen")
    await page.click("dialog .save")
    await page.wait("document.querySelector('.notice.good')?.innerText.includes('Kitchen')", deadline_s=10)
    await page.wait("document.querySelector('[data-unit=\"2\"]').innerText.includes('is read as Kitchen')")
    until_sync(lambda: device_at(demo, 2), deadline_s=20, what="the device to be read")


async def test_running_search_is_ended_by_the_button(browser: Browser, demo: Gateway) -> None:
    page = await opened(browser, demo, "scan/native", DESKTOP)
    await page.wait("!!document.querySelector('.start')")
    await page.click("input[value=full]")
    await page.click(".start")
    await page.wait("!!document.querySelector('.cancel')", deadline_s=10)
    await page.click(".cancel")
    await page.wait("document.querySelector('.progress').innerText.includes('ended early')", deadline_s=20)


def test_button_enters_and_leaves_the_mode_and_the_blue_led_follows(demo: Gateway) -> None:
    """Manual section 6.3.2, steps 1 and 4, with each service on its own NATS credential."""

    def shows(mode: str, pattern: str) -> bool:
        leds = {each["led"]: each["pattern"] for each in demo.told("/leds")["leds"]}
        return (demo.told("/sync")["mode"], leds["blue"]) == (mode, pattern)

    for mode, pattern in (("synchronisation", "blink_1s"), ("reading", "off")):
        answer = demo.client.post("/button", json={"duration_s": 3})
        assert answer.json()["action"] == "synchronisation"
        until_sync(partial(shows, mode, pattern), deadline_s=10, what=f"{mode} mode and its LED")


async def test_pressed_devices_get_their_units_live(browser: Browser, demo: Gateway, tmp_path: Path) -> None:
    page = await opened(browser, demo, "sync", DESKTOP)
    phone = await opened(browser, demo, "sync", PHONE)
    await page.wait("!!document.querySelector('.start')")
    await page.click(".start")
    await page.wait("!!document.querySelector('.stop')", deadline_s=10)
    await phone.wait("!!document.querySelector('.stop')", deadline_s=10)
    press(demo, tmp_path, "spare-1", "spare-2")
    await page.wait(
        "document.querySelector('.notice.warn')?.innerText.includes('Two devices')", deadline_s=20
    )
    await fits(page, DESKTOP, tmp_path / "sync-collision.png")
    press(demo, tmp_path, "spare-2")
    for each, size in ((page, DESKTOP), (phone, PHONE)):
        await each.wait("!!document.querySelector('.given [data-unit=\"2\"] a')", deadline_s=30)
        await fits(each, size, tmp_path / f"sync-{size[0]}.png")
    press(demo, tmp_path, "spare-2")
    await page.wait("!!document.querySelector('.given [data-unit=\"3\"] a')", deadline_s=30)
    await page.click(".stop")
    await page.wait("!!document.querySelector('.state .start')", deadline_s=10)
    for unit in (2, 3):
        until_sync(partial(device_at, demo, unit), deadline_s=20, what=f"unit {unit} to be read")
