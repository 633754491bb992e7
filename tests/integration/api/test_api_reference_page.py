"""The reference page in a real browser, under the service's own content security policy."""

import pytest

from ccm_api.app import openapi_document
from tests.integration.api.gateway import PASSWORD, Gateway
from tests.support.chromium import Browser

SIGN_IN = f"""fetch('/api/v1/session', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},
  body: JSON.stringify({{user: 'admin', password: '{PASSWORD}'}})}}).then((answer) => answer.status)"""


@pytest.mark.browser
async def test_reference_page_lists_every_operation(gw: Gateway, browser: Browser) -> None:
    operations = sum(len(each) for each in openapi_document()["paths"].values())
    page = await browser.page()
    await page.goto(f"{gw.url}/api/v1/health/live")
    assert await page.evaluate(SIGN_IN) == 200
    await page.goto(f"{gw.url}/api/v1/docs")
    await page.wait(f"document.querySelectorAll('details').length === {operations}")
    await page.wait_text("A plant's power balance, W")
    await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    await page.wait_text("age_s: number")
    await page.wait_text("no sign-in needed")
