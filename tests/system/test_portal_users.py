"""Users come and go in the portal: Chromium on a demo of its own, whose first password is changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Browser
from tests.support.gateway import PASSWORD, Gateway, demo_that_reads
from tests.support.portal import PHONE, chosen, fits, opened, signing_in

pytestmark = [pytest.mark.system, pytest.mark.browser]
OWN_PASSWORD = "a password of my own"
ANNA_PASSWORD = "a first password for anna"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Gateway]:
    with demo_that_reads(tmp_path) as running:
        yield running


async def test_users_come_go_and_the_last_administrator_stays(
    browser: Browser, demo: Gateway, tmp_path: Path
) -> None:
    page = await opened(browser, demo, "settings/users", PHONE)
    await page.wait_text("Nobody has an account yet", deadline_s=15)
    await page.click("main .own")
    await page.wait("!!document.querySelector('dialog input[name=again]')")
    for name, value in (("old", PASSWORD), ("fresh", OWN_PASSWORD), ("again", OWN_PASSWORD)):
        await page.fill(f"dialog input[name={name}]", value)
    await page.click("dialog .save")
    await page.wait_text("Your password was changed")
    await page.wait("!!document.querySelector('[data-user=admin] .change')")
    await page.click("[data-user=admin] .change")
    await page.wait_text("The only administrator")
    assert await page.evaluate("document.querySelector('dialog .remove').disabled")
    await page.click("dialog .shut")
    await page.click("main .add")
    await page.wait("!!document.querySelector('dialog input[name=name]')")
    await page.fill("dialog input[name=name]", "anna")
    await chosen(page, "dialog select[name=role]", "operator")
    await page.fill("dialog input[name=new-password]", ANNA_PASSWORD)
    await page.wait("!document.querySelector('dialog .save').disabled")
    await page.click("dialog .save")
    await page.wait_text("anna may sign in now")
    await fits(page, PHONE, tmp_path / "users.png")

    hers = await signing_in(browser, demo, PHONE, "anna", ANNA_PASSWORD)
    await hers.wait_text("Choose a new password", deadline_s=15)

    await page.click("[data-user=anna] .change")
    await page.wait("!!document.querySelector('dialog select[name=role]')")
    await chosen(page, "dialog select[name=role]", "viewer")
    await page.click("dialog .save")
    await page.wait_text("anna was changed")
    await page.wait("document.querySelector('[data-user=anna]').innerText.includes('Viewer')")
    await page.click("[data-user=anna] .change")
    await page.wait("!!document.querySelector('dialog .remove')")
    await page.click("dialog .remove")
    await page.wait("!!document.querySelector('dialog .sure')")
    await page.click("dialog .sure")
    await page.wait_text("anna was removed")
    gone = demo.client.post("/session", json={"user": "anna", "password": ANNA_PASSWORD})
    assert gone.status_code == 401
