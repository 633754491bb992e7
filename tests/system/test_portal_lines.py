"""A line's health, plan and frames in the portal: Chromium on the running demo, at both widths."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Browser
from tests.support.gateway import Gateway, demo_that_reads
from tests.support.portal import DESKTOP, PHONE, Size, fits, opened
from tests.support.ports import free_port
from tests.support.wait import until_sync

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("lines")
    with demo_that_reads(directory) as running:
        yield running


def interval_of(demo: Gateway, device: str) -> float:
    return float(next(each["poll_s"] for each in demo.told("/devices")["devices"] if each["id"] == device))


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_line_shows_its_health_and_its_frames(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    page = await opened(browser, demo, "lines/ext", size)
    await page.wait("!!document.querySelector('.health tbody tr[data-unit]')", deadline_s=15)
    await page.click(".trace .start")
    await page.wait("document.querySelectorAll('.trace li').length > 3", deadline_s=15)
    for text in ("read holding registers", "registers:"):
        await page.wait(f"document.querySelector('.trace ol').innerText.includes('{text}')", deadline_s=15)
    times = await page.evaluate("[...document.querySelectorAll('.trace time')].map((each) => each.dateTime)")
    assert times == sorted(times, reverse=True)
    assert await page.evaluate("document.querySelector('.trace ol').scrollTop") == 0
    await page.fill(".trace input[type=search]", "unit 100: read")
    shown = "[...document.querySelectorAll('.trace li')]"
    await page.wait(
        f"{shown}.length > 0 && {shown}.every((each) => each.innerText.includes('unit 100: read'))",
        deadline_s=15,
    )
    await page.click(".trace .stop")
    await fits(page, size, tmp_path / f"lines-{size[0]}.png")
    wide = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth).length"
    assert await page.evaluate(wide) == 0


async def test_saved_frames_open_as_a_capture(browser: Browser, demo: Gateway) -> None:
    page = await opened(browser, demo, "lines/ext", DESKTOP)
    await page.wait("!!document.querySelector('.trace a.capture')", deadline_s=15)
    address = await page.evaluate("document.querySelector('.trace a.capture').href")

    def held() -> list[int] | None:
        answer = demo.client.get(address)
        assert answer.headers["content-disposition"].endswith('-ext.pcap"')
        link, *lengths = _packets(answer.content)
        assert link == 250  # LINKTYPE_RTAC_SERIAL of tcpdump.org/linktypes.html
        return lengths if len(lengths) > 3 else None

    assert until_sync(held, deadline_s=15, what="frames of the line")


def _packets(pcap: bytes) -> list[int]:
    """The link type, then the length of each packet (draft-ietf-opsawg-pcap)."""
    order = ">" if pcap[:4] == bytes.fromhex("a1b2c3d4") else "<"
    found, at = [*struct.unpack_from(order + "I", pcap, 20)], 24
    while at < len(pcap):
        _, _, captured, length = struct.unpack_from(order + "4I", pcap, at)
        assert captured <= length
        found.append(captured)
        at += 16 + captured
    assert at == len(pcap)
    return found


async def test_interval_is_tried_before_it_is_applied(
    browser: Browser, demo: Gateway, tmp_path: Path
) -> None:
    page = await opened(browser, demo, "lines/ext", DESKTOP)
    await page.wait("!!document.querySelector('.budget tbody tr')", deadline_s=15)
    device = await page.evaluate("document.querySelector('.budget tbody tr').dataset.device")
    before = interval_of(demo, device)
    field = f"tr[data-device='{device}'] input"
    await page.fill(field, "0.1")
    await page.click(".budget .check")
    await page.wait("document.querySelector('.budget .pill').innerText.includes('Not every')", deadline_s=10)
    await fits(page, DESKTOP, tmp_path / "budget-full.png")
    assert interval_of(demo, device) == before
    await page.fill(field, "5")
    await page.click(".budget .apply")
    await page.wait("!!document.querySelector('.budget .notice.good')", deadline_s=10)
    until_sync(lambda: interval_of(demo, device) == 5, deadline_s=10, what="the new interval")


def in_section(demo: Gateway) -> list[dict[str, Any]]:
    """The devices as the configuration has them."""
    stored = demo.client.get("/config/devices")
    assert stored.status_code == 200, stored.text
    return list(stored.json())


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_hosts_requests_at_once_are_tried_and_applied_to_all_its_devices(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    port, name = free_port(), size[0]
    units = [
        {"id": f"farm-{name}-{unit}", "host": "127.0.0.1", "tcp_port": port, "model": "eastron/sdm630"}
        | {"unit": unit, "poll_s": 1, "max_in_flight": unit + 1}
        for unit in (1, 2)
    ]
    stored = demo.client.get("/config/devices")
    put = demo.client.put(
        "/config/devices", json=[*stored.json(), *units], headers={"If-Match": stored.headers["ETag"]}
    )
    assert put.status_code == 200, put.text
    line = until_sync(
        lambda: next((each["id"] for each in demo.told("/ports")["ports"] if each["tcp_port"] == port), None),
        deadline_s=10,
        what="the host's line",
    )
    page = await opened(browser, demo, f"lines/{line}", size)
    field = ".budget input[name=max_in_flight]"
    await page.wait(f"document.querySelector('{field}')?.value === '2'", deadline_s=15)
    await page.fill(field, "4")
    await page.click(".budget .check")
    await page.wait("!document.querySelector('.budget .check').disabled", deadline_s=10)
    await page.evaluate(f"document.querySelector('{field}').scrollIntoView({{block: 'center'}})")
    await fits(page, size, tmp_path / f"at-once-{name}.png")
    assert {each["max_in_flight"] for each in in_section(demo) if each.get("tcp_port") == port} == {2, 3}
    await page.click(".budget .apply")
    await page.wait("!!document.querySelector('.budget .notice.good')", deadline_s=10)
    assert {each["max_in_flight"] for each in in_section(demo) if each.get("tcp_port") == port} == {4}
    others = [each for each in in_section(demo) if each.get("host") is None]
    assert {each["max_in_flight"] for each in others} == {1}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_modbus_server_is_switched_on_and_shows_its_clients(
    browser: Browser, demo: Gateway, tmp_path: Path, size: Size
) -> None:
    port = free_port()
    page = await opened(browser, demo, "services/modbus", size)
    await page.wait("!!document.querySelector('form input[name=port]')", deadline_s=10)
    if not demo.told("/services/modbus")["enabled"]:
        await page.click("form input[type=checkbox]")
    await page.fill("form input[name=port]", str(port))
    await page.click("[data-act=save]")
    until_sync(lambda: demo.told("/services/modbus")["port"] == port, deadline_s=10, what="the setting")
    client = until_sync(lambda: _connected(port), deadline_s=15, what="the server")
    assert client is not None
    with client:
        await page.wait(
            "document.querySelector('.state tbody')?.innerText.includes('127.0.0.1')", deadline_s=20
        )
    await fits(page, size, tmp_path / f"modbus-{size[0]}.png")


def _connected(port: int) -> socket.socket | None:
    with suppress(OSError):
        return socket.create_connection(("127.0.0.1", port), timeout=2)
    return None
