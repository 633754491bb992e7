"""An administrator sets up files over FTP in the portal: Chromium, the running demo and pyftpdlib."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser, Page
from tests.support.ftp import FtpServer
from tests.support.gateway import PASSWORD, Gateway, demo_that_reads
from tests.support.wait import until

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("portal-ftp")
    with demo_that_reads(directory) as running:
        yield running


async def signed_in(browser: Browser, demo: Gateway, at: str, *, width: int, is_mobile: bool) -> Page:
    page = await browser.page(width=width, height=900, is_mobile=is_mobile)
    await page.goto(f"http://127.0.0.1:{demo.ports['HTTP']}/#/{at}")
    await page.wait("!!document.querySelector('input[name=user]')")
    await page.fill("input[name=user]", "admin")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("button[type=submit]")
    await page.wait("!!document.querySelector('main form [data-act=save]')", deadline_s=20)
    return page


async def picture(page: Page, directory: Path, name: str) -> None:
    """Kept where `CCM_PICTURES` says, to be looked at."""
    await page.screenshot(Path(os.environ.get("CCM_PICTURES") or directory) / f"{name}.png")


async def choose(page: Page, selector: str, value: str) -> None:
    await page.evaluate(
        f"(() => {{ const e = document.querySelector({selector!r}); e.value = {value!r};"
        " e.dispatchEvent(new Event('change', {bubbles: true})) })()"
    )


@pytest.mark.parametrize(("width", "is_mobile"), [(1280, False), (390, True)])
async def test_ftp_is_set_up_tried_and_files_are_sent(
    browser: Browser, demo: Gateway, ftp: FtpServer, tmp_path: Path, width: int, is_mobile: bool
) -> None:
    page = await signed_in(browser, demo, "settings/historic", width=width, is_mobile=is_mobile)
    if not await page.evaluate("document.querySelectorAll('main input[role=switch]')[1].checked"):
        await page.evaluate("document.querySelectorAll('main input[role=switch]')[1].click()")
    await choose(page, "[name=delimiter]", ";")
    await choose(page, "[name=every]", "900" if is_mobile else "1800")
    await page.fill("[name=at]", "00:05")
    await page.click("[data-act=save]")
    await page.wait_text("Saved. The link takes")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await picture(page, tmp_path, f"historic-{width}")

    await page.evaluate("location.hash = '#/services/ftp'")
    await page.wait("!!document.querySelector('[name=ftp-user]')")
    if not await page.evaluate("document.querySelector('main input[role=switch]').checked"):
        await page.evaluate("document.querySelector('main input[role=switch]').click()")
    await page.fill("[name=server]", "127.0.0.1")
    await page.fill("[name=port]", str(ftp.port))
    await page.fill("[name=directory]", f"/site/{width}")
    await page.fill("[name=ftp-user]", ftp.user)
    await page.fill("[name=ftp-password]", "wrong")
    await page.click("[data-act=test]")
    await page.wait_text("refuses the user or the password", deadline_s=20)
    await picture(page, tmp_path, f"ftp-refused-{width}")
    await page.fill("[name=ftp-password]", ftp.password)
    await page.click("[data-act=test]")
    await page.wait_text("Everything answers", deadline_s=20)
    await page.evaluate("document.querySelector('main form details').open = true")
    await page.fill("[name=budget]", "50")
    await page.click("[data-act=save]")
    await page.wait_text("Saved. The link takes")
    assert demo.told("/services/ftp")["backlog"]["bytes_per_day"] == 50_000_000
    await page.wait_text("server takes files", deadline_s=20)
    await page.wait("/Collected for the next file\\s+[1-9]/.test(document.body.innerText)", deadline_s=30)
    await page.click("main .outbox > button")
    await page.wait_text("Everything was sent", deadline_s=30)
    await picture(page, tmp_path, f"ftp-{width}")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    sent = await until(
        lambda: [name for name in ftp.names() if name.startswith(f"site/{width}/") and name.endswith(".csv")],
        deadline_s=5,
        what="a file",
    )
    first = (ftp.files / sent[0]).read_text().splitlines()[0]
    assert first.startswith("time;device;seq;quality;")
    assert [error for error in page.errors if not ("401" in error and "/session" in error)] == []
