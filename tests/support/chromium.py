"""Chromium, driven over its DevTools protocol through a pipe (`--remote-debugging-pipe`): no driver needed."""

import asyncio
import base64
import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.peers import need
from tests.support.processes import Child, descendants, kill_all
from tests.support.wait import until

# --no-sandbox: the tests may run as root. --disable-dev-shm-usage: containers give it 64 MB.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--mute-audio",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
LARGEST_MESSAGE = 64 << 20
ANSWER_S = 60

# A framework that tracks its inputs sees the change only through the prototype's setter and an event.
_FILL = """(selector, value) => {
  const input = document.querySelector(selector);
  if (!input) throw new Error("no element " + selector);
  input.focus();
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, value);
  input.dispatchEvent(new Event("input", {bubbles: true}));
  input.dispatchEvent(new Event("change", {bubbles: true}));
}"""
_CLICK = """(selector) => {
  const element = document.querySelector(selector);
  if (!element) throw new Error("no element " + selector);
  element.click();
}"""


class BrowserError(AssertionError):
    """DevTools refused a command, or the page's JavaScript raised."""


class Browser:
    """A running headless Chromium with a fresh profile."""

    def __init__(self, process: Child, reader: asyncio.StreamReader, write_fd: int) -> None:
        self._process = process
        self._reader = reader
        self._write_fd = write_fd
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def page(self, *, width: int = 1280, height: int = 800, is_mobile: bool = False) -> "Page":
        """A new tab of that size, empty, with cookies of its own."""
        context = await self.send("Target.createBrowserContext")
        target = await self.send(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"])
        self._pages[page.session] = page
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        await page.viewport(width, height, is_mobile=is_mobile)
        return page

    async def send(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """The result of one DevTools command."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        try:
            async with asyncio.timeout(ANSWER_S):
                reply = await answer
        finally:
            del self._answers[number]
        if "error" in reply:
            raise BrowserError(f"{method}: {reply['error']['message']}")
        result: dict[str, Any] = reply["result"]
        return result

    async def receive(self) -> None:
        """Hand out answers and events until the browser is gone."""
        try:
            while True:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if "id" in message:
                    answer = self._answers.get(message["id"])
                    if answer and not answer.done():
                        answer.set_result(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.on_event(message["method"], message["params"])
        except (asyncio.IncompleteReadError, ConnectionError):
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(BrowserError(f"Chromium ended: {self._process.output[-2000:]}"))


class Page:
    """One tab. `errors` collects uncaught exceptions, console errors and failed loads."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self.session = session
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._load_count = 0

    async def send(self, method: str, /, **params: Any) -> dict[str, Any]:
        """The result of one DevTools command for this tab."""
        return await self._browser.send(method, self.session, **params)

    async def goto(self, url: str, *, deadline_s: float = 20) -> None:
        """Open an address; returns after the page's load event."""
        before = self._load_count
        result = await self.send("Page.navigate", url=url)
        if error := result.get("errorText"):
            raise BrowserError(f"{url}: {error}")
        if "loaderId" in result:  # absent when only the fragment changed
            await until(lambda: self._load_count > before, deadline_s=deadline_s, what=f"the load of {url}")

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression; a promise is awaited."""
        result = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if details := result.get("exceptionDetails"):
            raise BrowserError(_text_of(details))
        return result["result"].get("value")

    async def wait(self, expression: str, *, deadline_s: float = 10) -> Any:
        """The first truthy value of a JavaScript expression."""

        async def value() -> Any:
            try:
                return await self.evaluate(expression)
            except BrowserError:  # for example while a navigation replaces the document
                return None

        return await until(value, deadline_s=deadline_s, what=f"the page's {expression!r}")

    async def wait_text(self, text: str, *, deadline_s: float = 10) -> None:
        """Return when the page shows the text."""
        await self.wait(f"document.body.innerText.includes({json.dumps(text)})", deadline_s=deadline_s)

    async def text(self, selector: str = "body") -> str:
        """The visible text of the first element that matches."""
        found = await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")
        if found is None:
            raise BrowserError(f"no element {selector}")
        return str(found)

    async def fill(self, selector: str, value: str) -> None:
        """Set an input's value as if it had been typed."""
        await self.evaluate(f"({_FILL})({json.dumps(selector)}, {json.dumps(value)})")

    async def click(self, selector: str) -> None:
        """Click the first element that matches."""
        await self.evaluate(f"({_CLICK})({json.dumps(selector)})")

    async def viewport(self, width: int, height: int, *, scale: float = 1, is_mobile: bool = False) -> None:
        """Set the size in CSS pixels; `scale` is device pixels per CSS pixel."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=is_mobile,
        )

    async def screenshot(self, path: Path) -> Path:
        """Write the viewport as PNG."""
        result = await self.send("Page.captureScreenshot", format="png")
        _write(path, base64.b64decode(result["data"]))
        return path

    def on_event(self, method: str, params: dict[str, Any]) -> None:
        """Note what the tests ask for; called by the browser's reader."""
        if method == "Page.loadEventFired":
            self._load_count += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(_text_of(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(
                " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
            )
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} ({params['entry'].get('url', '')})")


@asynccontextmanager
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    """A running browser with its profile in `tmp_path`; skips without Chromium."""
    program = need("chromium")
    to_browser, commands = _pipe()
    answers, from_browser = _pipe()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.close, commands)
        answers_file = stack.enter_context(os.fdopen(answers, "rb", 0))
        # Chromium reads commands at descriptor 3 and answers at 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        args = ["bash", "-c", script, str(program), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
        process = Child.spawn(
            args,
            log=tmp_path / "chromium.log",
            env={"HOME": str(tmp_path)},
            pass_fds=(to_browser, from_browser),
        )
        os.close(to_browser)
        os.close(from_browser)
        reader = asyncio.StreamReader(limit=LARGEST_MESSAGE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), answers_file
        )
        browser = Browser(process, reader, commands)
        receiver = asyncio.create_task(browser.receive(), name="chromium.receive")
        try:
            yield browser
        finally:
            await _end(browser, process)
            await receiver
            transport.close()


async def screenshot(url: str, path: Path, *, width: int = 1280, height: int = 800, tmp_path: Path) -> Path:
    """A PNG of the address, taken after its load event."""
    async with chromium(tmp_path) as browser:
        page = await browser.page(width=width, height=height)
        await page.goto(url)
        return await page.screenshot(path)


async def _end(browser: Browser, process: Child) -> None:
    family = descendants(process.pid)
    try:
        await browser.send("Browser.close")
        await process.exited(deadline_s=5)
    except (AssertionError, OSError, TimeoutError):
        await process.kill()
    await kill_all(family)


def _pipe() -> tuple[int, int]:
    """Both ends above the descriptors 3 and 4, so that the shell's redirections cannot overwrite one."""
    ends = []
    for low in os.pipe():
        ends.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(low)
    return ends[0], ends[1]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _text_of(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text"))
