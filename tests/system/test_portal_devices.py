"""Devices in the portal: added by hand, changed, commanded, removed; profiles sent; a host searched. Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.gateway import Gateway, demo_that_reads
from tests.support.portal import DESKTOP, PHONE, Size, opened
from tests.system.profile_text import PROFILE

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with demo_that_reads(tmp_path_factory.mktemp("devices")) as running:
        yield running


async def choose(page: Page, name: str, value: str) -> None:
    await page.wait(
        f"!!document.querySelector('dialog select[name={name}] option[value={json.dumps(value)}]')"
    )
    await page.fill(f"dialog select[name={name}]", value)


async def fits(page: Page, size: Size) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    body = "document.querySelector('.dialog-body')"
    assert await page.evaluate(
        f"!document.querySelector('dialog') || {body}.scrollWidth <= {body}.clientWidth"
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_device_is_added_by_hand_changed_and_removed(
    browser: Browser, demo: Gateway, size: Size
) -> None:
    page = await opened(browser, demo, "devices", size)
    await page.wait("!!document.querySelector('.by-hand')", deadline_s=15)
    await page.click(".by-hand")
    await choose(page, "place", "ext")
    for name, value in (("type", "meter"), ("brand", "Eastron"), ("device_class", "three-phase")):
        await choose(page, name, value)
    await choose(page, "series", "SDM")
    await choose(page, "model", "eastron/sdm630")
    await page.fill("dialog input[name=unit]", "2")
    await page.fill("dialog input[name=poll_s]", "0.1")
    await page.fill("dialog input[name=alias]", "Workshop")
    await page.wait_text("unit 2 is already used on ext by house")
    await page.click("dialog .save")
    await page.wait("document.querySelector('dialog input[name=unit]').ariaInvalid === 'true'")
    await page.fill("dialog input[name=unit]", "9")
    await page.wait_text("Not every interval can be kept.")
    await fits(page, size)
    await page.fill("dialog input[name=poll_s]", "5")
    await page.wait_text("Every interval can be kept.")
    await page.click("dialog .save")
    await page.wait_text("Workshop was added")
    (added,) = (each for each in demo.told("/devices")["devices"] if each["alias"] == "Workshop")
    assert (added["line"], added["unit"], added["poll_s"]) == ("ext", 9, 5)
    await page.wait(f"!!document.querySelector('[data-device={added['id']}] .change')")
    await page.click(f"[data-device={added['id']}] .change")
    await page.wait("document.querySelector('dialog input[name=unit]')?.value === '9'")
    await page.fill("dialog input[name=poll_s]", "10")
    await page.click("dialog .save")
    await page.wait_text("Workshop was changed")
    assert demo.told(f"/devices/{added['id']}")["poll_s"] == 10
    await page.click(f"[data-device={added['id']}] .change")
    await page.wait("document.querySelector('dialog input[name=poll_s]')?.value === '10'")
    await page.click("dialog .remove")
    await page.wait("!!document.querySelector('dialog .sure')")
    await page.click("dialog .sure")
    await page.wait_text("Workshop was removed")
    assert demo.client.get(f"/devices/{added['id']}").status_code == 404


@pytest.mark.parametrize(
    ("model", "value", "told"),
    [
        ("energyccm/ccm4", "1", "the device holds 1 now"),
        (
            "huawei/sun2000",
            "60",
            "refuses power-limit: exception 2",
        ),  # the simulated one has no such register
    ],
)
async def test_what_a_device_says_to_a_command_is_shown(
    browser: Browser, demo: Gateway, model: str, value: str, told: str
) -> None:
    page = await opened(browser, demo, "devices", PHONE)
    device = next(each["id"] for each in demo.told("/devices")["devices"] if each["model"] == model)
    await page.evaluate(f"location.hash = '#/devices/{device}'")
    await page.wait("!!document.querySelector('.commands form')", deadline_s=15)
    await page.click(".commands summary")
    await page.fill(".commands form input", value)
    await page.click(".commands form button")
    await page.wait_text(told)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_profile_is_refused_sent_replaced_and_removed(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    page = await opened(browser, demo, "models", size)
    await page.wait_text("models can be read", deadline_s=20)
    file = tmp_path / "Acme X.yaml"

    async def send(text: str) -> None:
        file.write_text(text)
        await page.wait("document.querySelector('input[type=file]')?.disabled === false")
        found = await page.send("Runtime.evaluate", expression="document.querySelector('input[type=file]')")
        await page.send("DOM.setFileInputFiles", files=[str(file)], objectId=found["result"]["objectId"])

    await send(PROFILE.replace("metric: v1", "metric: volts"))
    await page.wait_text("line 10: points[0].metric:")
    await send(PROFILE)
    await page.wait_text("It can be read now: acme/x3")
    await send(PROFILE)
    await page.wait_text("There is a profile acme-x already")
    await page.click(".agree")
    await page.wait_text("It can be read now: acme/x3")
    await fits(page, size)
    await page.click("[data-profile=acme-x] .remove")
    await page.wait("!!document.querySelector('.sure:enabled')")
    await page.click(".sure")
    await page.wait_text("acme-x was removed")
    assert demo.told("/profiles")["profiles"] == []


async def test_host_that_refuses_is_said_so(browser: Browser, demo: Gateway) -> None:
    page = await opened(browser, demo, "scan/host", PHONE)
    await page.wait("!!document.querySelector('input[name=host]')", deadline_s=15)
    await page.fill("input[name=host]", "127.0.0.1")
    await page.fill("input[name=tcp_port]", "9")
    await page.click(".start")
    await page.wait_text("the connection is refused", deadline_s=15)
    await fits(page, PHONE)
