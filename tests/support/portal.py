"""The portal in Chromium, signed in, at the widths that it must fit."""

import json
from pathlib import Path
from typing import Final

from tests.support.chromium import Browser, Page
from tests.support.gateway import PASSWORD, Gateway
from tests.support.wait import until

Size = tuple[int, int]
PHONE: Final[Size] = (390, 844)
DESKTOP: Final[Size] = (1280, 900)


async def signing_in(browser: Browser, demo: Gateway, size: Size, user: str, password: str) -> Page:
    """The portal just after somebody sent a sign-in."""
    page = await browser.page(width=size[0], height=size[1], is_mobile=size == PHONE)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", user)
    await page.fill("input[name=password]", password)
    await page.click("button[type=submit]")
    return page


async def opened(browser: Browser, demo: Gateway, where: str, size: Size) -> Page:
    """A page of the portal, signed in."""
    page = await signing_in(browser, demo, size, "admin", PASSWORD)
    await page.wait("!!document.querySelector('nav a')", deadline_s=20)
    await page.evaluate(f"location.hash = '#/{where}'")
    return page


async def chosen(page: Page, selector: str, value: str) -> None:
    """An option of a list, as if a person had taken it."""
    pick = "(select, value) => { select.value = value; select.dispatchEvent(new Event('change')) }"
    await page.evaluate(f"({pick})(document.querySelector({json.dumps(selector)}), {json.dumps(value)})")


async def given(page: Page, selector: str, file: Path) -> None:
    """A file, as if a person had chosen it."""
    found = await page.send("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
    await page.send("DOM.setFileInputFiles", files=[str(file)], objectId=found["result"]["objectId"])


async def downloaded(page: Page, button: str, directory: Path, pattern: str) -> Path:
    """The file that a click on the button brings, once it is whole: until then the browser keeps its name, empty."""

    def whole() -> Path | None:
        return next((file for file in directory.glob(pattern) if file.stat().st_size), None)

    await page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(directory))
    await page.click(button)
    file = await until(whole, deadline_s=10, what=f"the file {pattern}")
    assert isinstance(file, Path)
    return file


async def fits(page: Page, size: Size, picture: Path, *, refusals: int = 0) -> None:
    """No sideways scrolling, and nothing in the console but so many refusals (4xx) that the test brought about."""
    await page.screenshot(picture)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    told = [error for error in page.errors if not ("401" in error and "/session" in error)]
    refused = [error for error in told if "status of 4" in error]
    assert len(refused) == refusals, told
    assert told == refused, told
