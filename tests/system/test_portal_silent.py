"""What the portal says while a service hangs, and that it says so no more afterwards. Chromium, real processes."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.chromium import Browser
from tests.support.gateway import Gateway, demo_that_reads
from tests.support.portal import PHONE, opened

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("silent")
    with demo_that_reads(directory) as running:
        yield running


async def test_service_that_hangs_is_named_with_what_stands_still(browser: Browser, demo: Gateway) -> None:
    page = await opened(browser, demo, "devices", PHONE)
    await page.wait("!!document.querySelector('.device')", deadline_s=20)
    pid = demo.pid_of("bus-reader")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await page.wait_text("The service bus-reader has not been heard of", deadline_s=40)
        await page.wait("document.querySelector('.device .pill').innerText === 'Not known now'")
        await page.evaluate("location.hash = '#/lines/ext'")
        await page.wait_text("the service bus-reader does not answer", deadline_s=20)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    finally:
        os.kill(pid, signal.SIGCONT)
    await page.wait("!document.querySelector('.silent .notice')", deadline_s=30)
