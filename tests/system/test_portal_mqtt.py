"""The page of the MQTT service in Chromium: an installer tries his broker, corrects what fails, and saves."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.gateway import PASSWORD, Gateway, demo_that_reads
from tests.support.mosquitto import BrokerOptions, Mosquitto, mosquitto_broker
from tests.support.tls import Authority

pytestmark = [pytest.mark.system, pytest.mark.browser]
CHOOSE = (
    "(() => { const e = document.querySelector('%s'); e.value = '%s';"
    " e.dispatchEvent(new Event('change', {bubbles: true})) })()"
)
UPLOAD = (
    "(() => { const e = document.querySelector('main input[type=file]'), chosen = new DataTransfer();"
    " chosen.items.add(new File([%s], 'root.pem')); e.files = chosen.files;"
    " e.dispatchEvent(new Event('change', {bubbles: true})) })()"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("portal-mqtt")
    with demo_that_reads(directory) as running:
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


@pytest.mark.parametrize(("width", "is_mobile"), [(1280, False), (390, True)])
async def test_certificate_is_uploaded_and_limits_are_set(
    browser: Browser, demo: Gateway, tmp_path: Path, width: int, is_mobile: bool
) -> None:
    authority = Authority(tmp_path / "ca", "Site root")
    options = BrokerOptions(tls=authority.server())
    async with mosquitto_broker(tmp_path / "tls", options) as broker:
        page = await opened(browser, demo, width=width, is_mobile=is_mobile)
        await page.fill("input[name=host]", "mqtts://localhost")
        await page.fill("input[name=port]", str(broker.port))
        await page.evaluate(CHOOSE % ("[name=tls-type]", "ca"))
        await page.wait("!!document.querySelector('main input[type=file]')")
        await page.evaluate(UPLOAD % json.dumps(authority.pem))
        await page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        await page.evaluate(CHOOSE % ("[name=order]", "oldest-first"))
        await page.fill("input[name=rate]", "64")
        await page.fill("input[name=budget]", "2.5")
        await page.click("[data-act=test]")
        await page.wait(step("subscribe", "ok"), deadline_s=20)
        assert "Site root" in str(await page.evaluate("document.querySelector('[data-step=tls]').innerText"))
        await page.click("[data-act=save]")
        await page.wait("/Saved/.test(document.querySelector('main').innerText)", deadline_s=10)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.screenshot(Path(os.environ.get("CCM_PICTURES") or tmp_path) / f"mqtt-{width}.png")
    stored = demo.told("/services/mqtt")
    assert stored["tls"] == {**stored["tls"], "type": "ca", "certificate": authority.pem}
    limits = {"order": "oldest-first", "rate_limit_kbps": 64, "bytes_per_day": 2_500_000}
    assert stored["backlog"] == limits
