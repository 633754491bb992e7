"""The portal as a person meets it: Chromium on the running demo, on a desktop and on a phone.

With `CCM_PICTURE=docs/portal.png` (`make picture`) the desktop's screenshot is kept there for the README.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.gateway import PASSWORD, Gateway, demo_that_reads
from tests.support.wait import until

pytestmark = [pytest.mark.system, pytest.mark.browser]
PICTURE_POINTS = 280
"""About five minutes: a chart with something to see."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("portal")
    with demo_that_reads(directory) as running:
        yield running


async def signed_in(
    browser: Browser, demo: Gateway, *, width: int, height: int, is_mobile: bool = False
) -> Page:
    page = await browser.page(width=width, height=height, is_mobile=is_mobile)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", "admin")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    return page


def stored_balances(demo: Gateway) -> list[object]:
    found = demo.get("/history", device="home", metric="p_load")
    return found["series"][0]["points"] if found and found["series"] else []


def troubles_of(page: Page) -> list[str]:
    """What the console complained of, but for the 401 by which the portal learns that nobody is signed in."""
    return [error for error in page.errors if not ("401" in error and "/session" in error)]


async def test_live_balance_moves_on_a_desktop(browser: Browser, demo: Gateway, tmp_path: Path) -> None:
    page = await signed_in(browser, demo, width=1280, height=900)
    await page.wait("/\\d\\s*k?W/.test(document.body.innerText)", deadline_s=20)
    before = await page.text("main")
    await page.wait(f"document.querySelector('main').innerText !== {before!r}", deadline_s=10)
    kept = os.environ.get("CCM_PICTURE")
    if kept:
        await until(
            lambda: len(stored_balances(demo)) > PICTURE_POINTS, deadline_s=400, what="a curve to show"
        )
        await page.send("Page.reload")
        await page.wait(
            "document.querySelector('.curve.prod')?.getAttribute('d').length > 150", deadline_s=20
        )
    picture = await page.screenshot(Path(kept or tmp_path / "portal.png"))
    assert picture.stat().st_size > 20_000
    assert troubles_of(page) == []
    own = f"http://127.0.0.1:{demo.ports['HTTP']}/"
    assert [url for url in page.requests if not url.startswith((own, "data:"))] == []


async def test_a_phone_shows_everything_without_sideways_scrolling(browser: Browser, demo: Gateway) -> None:
    page = await signed_in(browser, demo, width=390, height=844, is_mobile=True)
    await page.wait("/\\d\\s*k?W/.test(document.body.innerText)", deadline_s=20)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert troubles_of(page) == []


@pytest.mark.parametrize(("width", "is_mobile"), [(390, True), (1280, False)])
async def test_history_shows_curves_energy_gaps_and_a_file(
    browser: Browser, demo: Gateway, width: int, is_mobile: bool
) -> None:
    page = await signed_in(browser, demo, width=width, height=900, is_mobile=is_mobile)
    await page.wait("!!document.querySelector('nav a[href=\"#/history\"]')", deadline_s=20)
    await page.click("nav a[href='#/history']")
    await page.wait("document.querySelectorAll('main path.curve').length >= 2", deadline_s=90)
    address = await page.evaluate("document.querySelector('main a[download]').href")
    fetched = f"fetch({address!r}).then(answer => answer.text()).then(text => (window.seen = text))"
    await page.wait(f"(window.kept ??= {fetched}, !!window.seen)")
    assert await page.evaluate("window.seen.slice(0, 37)") == "time,device,metric,unit,value,min,max"
    for place in (2, 3, 4):
        before = await page.text(".steps strong")
        await page.click(f".spans button:nth-child({place})")
        await page.wait(f"document.querySelector('.steps strong').innerText !== {before!r}")
        await page.wait("document.querySelectorAll('main path.curve').length >= 2", deadline_s=20)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.evaluate(
        "[...document.querySelectorAll('.spans button')].every(each => {"
        " const box = each.getBoundingClientRect(); return box.left >= 0 && box.right <= innerWidth })"
    )
    assert troubles_of(page) == []


async def test_wrong_password_says_so_and_stays(browser: Browser, demo: Gateway) -> None:
    page = await browser.page(width=1280, height=900)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", "admin")
    await page.fill("input[name=password]", "not the password")
    await page.click("button[type=submit]")
    await page.wait("document.querySelector('[role=alert]')?.innerText", deadline_s=10)
    assert await page.evaluate("!!document.querySelector('input[name=user]')")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
async def test_delivery_shows_each_link_and_its_last_number(
    browser: Browser, demo: Gateway, tmp_path: Path, width: int, height: int
) -> None:
    page = await signed_in(browser, demo, width=width, height=height, is_mobile=width < 500)
    await page.wait("/\\d\\s*k?W/.test(document.body.innerText)", deadline_s=20)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/#/info")
    await page.wait_text("Messages that wait", deadline_s=15)
    await page.wait("!!document.querySelector('.links details')", deadline_s=20)
    await page.evaluate("document.querySelectorAll('.links details').forEach((each) => { each.open = true })")
    last = "Number(document.querySelector('.links tbody td').innerText)"
    before = await page.evaluate(last)
    await page.wait(f"{last} > {before}", deadline_s=20)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert troubles_of(page) == []
    await page.evaluate("document.querySelector('.links').scrollIntoView()")
    await page.screenshot(Path(os.environ.get("CCM_SHOTS", tmp_path)) / f"delivery-{width}.png")
