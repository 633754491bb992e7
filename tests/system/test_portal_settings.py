"""The site and the configuration file in the portal: Chromium on the running demo."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Browser, Page
from tests.support.gateway import Gateway, demo_that_reads
from tests.support.portal import DESKTOP, PHONE, Size, chosen, downloaded, fits, given, opened

pytestmark = [pytest.mark.system, pytest.mark.browser]
FILE = "main input[type=file]"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("settings")
    with demo_that_reads(directory) as running:
        yield running


def stored(demo: Gateway, section: str) -> Any:
    answer = demo.client.get(f"/config/{section}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("size", "zone"), [(DESKTOP, "Europe/Madrid"), (PHONE, "Asia/Tokyo")], ids=["desktop", "phone"]
)
async def test_time_zone_and_name_of_the_site_are_set(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size, zone: str
) -> None:
    page = await opened(browser, demo, "settings/site", size)
    await page.wait("!!document.querySelector('select[name=zone]')", deadline_s=15)
    await page.wait_text("It agrees with this device")  # this browser's clock is the gateway's
    await chosen(page, "select[name=zone]", zone)
    await page.fill("input[name=alias]", f"House in {zone}")
    await page.click("[data-act=save]")
    await page.wait_text("Saved.")
    assert (stored(demo, "timezone"), stored(demo, "gateway")["alias"]) == (zone, f"House in {zone}")
    await page.wait(f"document.querySelector('.brand').innerText.includes('House in {zone}')")
    await fits(page, size, tmp_path / f"site-{size[0]}.png")


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


async def load(page: Page, path: Path) -> None:
    await page.wait(f"document.querySelector('{FILE}')?.disabled === false", deadline_s=15)
    await given(page, FILE, path)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_file_is_looked_at_applied_and_undone(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    before = stored(demo, "historic")
    page = await opened(browser, demo, "settings/file", size)
    await load(page, written(tmp_path / "bad.yaml", "historic: {latency_s: 7}\nmqtt: {qos: 3}\n"))
    await page.wait_text("historic.latency_s:")
    assert "mqtt.qos:" in await page.text("main")
    file = "# ours\nhistoric: {latency_s: 300}\nftp: {user: bob, password: geheim}\n"
    await load(page, written(tmp_path / "site.yaml", file))
    await page.wait("!!document.querySelector('[data-field=\"historic.latency_s\"]')")
    assert "300" in await page.text('[data-field="historic.latency_s"]')
    secret = await page.text('[data-field="ftp.password"]')
    assert "geheim" not in await page.text("main")
    assert "********" in secret
    assert stored(demo, "historic") == before
    await fits(page, size, tmp_path / f"file-{size[0]}.png", refusals=1)
    await page.click("main .apply")
    await page.wait_text("They apply now")
    assert stored(demo, "historic")["latency_s"] == 300
    assert stored(demo, "ftp")["user"] == "bob"
    await page.wait("document.querySelector('.undo-act')?.disabled === false")
    await page.click(".undo-act")
    await page.wait_text("as it was before the file")
    assert (stored(demo, "historic"), stored(demo, "ftp")["user"]) == (before, "")


async def test_saved_file_has_everything_but_secrets_and_can_be_loaded_again(
    browser: Browser, demo: Gateway, tmp_path: Path
) -> None:
    page = await opened(browser, demo, "settings/file", DESKTOP)
    await page.wait("!!document.querySelector('.export .save')", deadline_s=15)
    file = await downloaded(page, ".export .save", tmp_path, "CCM*.json")
    document = json.loads(file.read_text())
    assert (len(document["devices"]), document["mqtt"]["password"]) == (5, "********")
    await load(page, written(tmp_path / "again.json", file.read_text()))
    await page.wait_text("again.json changes nothing")
