"""The page of the MQTT service in Chromium: an installer tries his broker, corrects what fails, and saves."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.gateway import PASSWORD, Gateway, gateway
from tests.support.mosquitto import BrokerOptions, Mosquitto, mosquitto_broker

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("portal-mqtt")
    with gateway(["demo"], directory / "data", directory / "demo.log") as running:
        yield running


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto_broker(tmp_path / "broker", BrokerOptions(users={"gw": "right"})) as running:
        yield running


async def opened(browser: Browser, demo: Gateway, *, width: int, is_mobile: bool = False) -> Page:
    page = await browser.page(width=width, height=900, is_mobile=is_mobile)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/#/services/mqtt")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", "admin")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    await page.wait("!!document.querySelector('input[name=prefix_sub]')", deadline_s=20)
    return page


def step(name: str, outcome: str) -> str:
    return f"!!document.querySelector('[data-step={name}][data-outcome={outcome}]')"


async def test_settings_are_tried_corrected_and_saved(
    browser: Browser, demo: Gateway, broker: Mosquitto, tmp_path: Path
) -> None:
    page = await opened(browser, demo, width=1280)
    await page.fill("input[name=host]", "mqtt://127.0.0.1")
    await page.fill("input[name=port]", str(broker.port))
    await page.fill("input[name=mqtt-user]", "gw")
    await page.fill("input[name=mqtt-password]", "wrong")
    await page.click("[data-act=test]")
    await page.wait(step("credentials", "failed"), deadline_s=20)
    await page.fill("input[name=mqtt-password]", "right")
    await page.click("[data-act=test]")
    await page.wait(step("subscribe", "ok"), deadline_s=20)
    await page.screenshot(tmp_path / "tried.png")
    await page.click("[data-act=save]")
    await page.wait("/Saved/.test(document.querySelector('main').innerText)", deadline_s=10)
    await page.wait("document.querySelector('main .link .pill').classList.contains('good')", deadline_s=30)
    assert await page.evaluate("document.querySelector('input[name=mqtt-password]').value") == "********"
    assert [error for error in page.errors if "401" not in error] == []


async def test_wrong_prefix_is_named_and_nothing_is_saved(browser: Browser, demo: Gateway) -> None:
    page = await opened(browser, demo, width=1280)
    await page.fill("input[name=prefix_sub]", "/same")
    await page.fill("input[name=prefix_pub]", "/same")
    await page.click("[data-act=save]")
    await page.wait(
        "/must differ, for example/.test(document.querySelector('main').innerText)", deadline_s=10
    )
    assert await page.evaluate("document.querySelector('input[name=prefix_pub]').ariaInvalid") == "true"


async def test_page_fits_a_phone(browser: Browser, demo: Gateway, tmp_path: Path) -> None:
    page = await opened(browser, demo, width=390, is_mobile=True)
    await page.evaluate("document.querySelector('details').open = true")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.screenshot(tmp_path / "phone.png")
