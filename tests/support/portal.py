"""The portal in Chromium, signed in, at the widths that it must fit."""

from pathlib import Path
from typing import Final

from tests.support.chromium import Browser, Page
from tests.support.gateway import PASSWORD, Gateway

Size = tuple[int, int]
PHONE: Final[Size] = (390, 844)
DESKTOP: Final[Size] = (1280, 900)


async def opened(browser: Browser, demo: Gateway, where: str, size: Size) -> Page:
    """A page of the portal, signed in."""
    page = await browser.page(width=size[0], height=size[1], is_mobile=size == PHONE)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", "admin")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    await page.wait("!!document.querySelector('nav a')", deadline_s=20)
    await page.evaluate(f"location.hash = '#/{where}'")
    return page


async def fits(page: Page, size: Size, picture: Path) -> None:
    await page.screenshot(picture)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert [error for error in page.errors if not ("401" in error and "/session" in error)] == []
