"""Lines are added, changed and removed in the portal: Chromium on the running demo, at both widths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Browser
from tests.support.gateway import Gateway, demo_that_reads
from tests.support.portal import DESKTOP, PHONE, Size, chosen, fits, opened
from tests.support.wait import until_sync

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("ports")
    with demo_that_reads(directory) as running:
        yield running


def line_of(demo: Gateway, name: str) -> dict[str, Any] | None:
    stored = demo.client.get("/config/ports")
    assert stored.status_code == 200, stored.text
    return next((each for each in stored.json() if each["id"] == name), None)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_line_is_added_changed_and_removed(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    page = await opened(browser, demo, "lines", size)
    await page.wait("!!document.querySelector('main .add')", deadline_s=15)
    await page.click("main .add")
    await page.wait("!!document.querySelector('dialog select[name=kind]')", deadline_s=10)
    if await page.evaluate("!!document.querySelector('dialog select[name=adapter]')"):
        await chosen(page, "dialog select[name=adapter]", "")
    taken = next(each["path"] for each in demo.told("/ports")["ports"] if each["id"] == "ext")
    await page.fill("dialog input[name=path]", taken)
    await page.fill("dialog input[name=alias]", "Meter room")
    await page.wait("document.querySelector('dialog input[name=id]').value === 'meter-room'")
    await page.click("dialog .save")
    await page.wait_text("is already used by port ext")
    assert await page.evaluate("document.querySelector('dialog input[name=path]').ariaInvalid") == "true"
    assert line_of(demo, "meter-room") is None
    await fits(page, size, tmp_path / f"ports-{size[0]}.png", refusals=1)
    await page.fill("dialog input[name=path]", "/dev/not-plugged-in")
    await chosen(page, "dialog select[name=baudrate]", "19200")
    await page.click("dialog .save")
    await page.wait_text("Meter room was added")
    added = line_of(demo, "meter-room")
    assert added is not None
    assert (added["path"], added["baudrate"], added["role"]) == ("/dev/not-plugged-in", 19200, "external")
    await page.wait("document.querySelector('#line').value === 'meter-room'")
    await page.click("main .change")
    await page.wait(
        "document.querySelector('dialog select[name=baudrate]')?.value === '19200'", deadline_s=10
    )
    await chosen(page, "dialog select[name=format]", "8E1")
    await page.click("dialog .save")
    await page.wait_text("Meter room was changed")
    changed = line_of(demo, "meter-room")
    assert changed == {**added, "format": "8E1"}
    await page.click("main .change")
    await page.wait("!!document.querySelector('dialog .remove:not(:disabled)')", deadline_s=10)
    await page.click("dialog .remove")
    await page.click("dialog .sure")
    await page.wait_text("Meter room was removed")
    until_sync(lambda: line_of(demo, "meter-room") is None, deadline_s=10, what="the line to go")


async def test_rate_is_weighed_before_it_is_saved_and_a_line_with_devices_stays(
    browser: Browser, demo: Gateway
) -> None:
    page = await opened(browser, demo, "lines/ext", PHONE)
    await page.wait("!!document.querySelector('main .change')", deadline_s=15)
    await page.click("main .change")
    await page.wait("!!document.querySelector('dialog select[name=baudrate]')", deadline_s=10)
    await chosen(page, "dialog select[name=baudrate]", "1200")
    await page.wait_text("Not every interval can be kept", deadline_s=10)
    await page.click("dialog .remove")
    await page.wait("document.querySelector('dialog .sure').disabled")
    await page.wait("document.querySelector('dialog form').innerText.includes('On it: Roof, House.')")
    kept = line_of(demo, "ext")
    assert kept is not None
    assert kept["baudrate"] == 9600
