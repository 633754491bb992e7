"""The DevTools driver opens pages, types, clicks, waits and takes pictures."""

import struct
from pathlib import Path

import pytest

from tests.support.chromium import Browser, BrowserError

PAGE = (
    "data:text/html,<title>Sample</title><input id='user'><button id='go' onclick=\""
    "setTimeout(() => { document.querySelector('p').innerText = 'Hello ' + "
    "document.querySelector('input').value }, 50)\">go</button><p></p>"
)


@pytest.mark.browser
async def test_page_is_opened_filled_clicked_and_pictured(browser: Browser, tmp_path: Path) -> None:
    page = await browser.page(width=390, height=844, is_mobile=True)
    await page.goto(PAGE)
    await page.fill("#user", "in\"stal'ler")
    await page.click("#go")
    await page.wait_text("Hello in\"stal'ler")

    assert await page.evaluate("Promise.resolve({title: document.title, n: 6 * 7})") == {
        "title": "Sample",
        "n": 42,
    }
    with pytest.raises(BrowserError, match="no element #none"):
        await page.click("#none")
    picture = (await page.screenshot(tmp_path / "page.png")).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (390, 844)
    assert page.errors == []
    await page.evaluate("console.error('broken'), setTimeout(() => { throw new Error('uncaught') })")
    await page.wait("true")
    await page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert page.errors[0] == "broken"
    assert "uncaught" in page.errors[1]
