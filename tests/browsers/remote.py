"""Browsers that Playwright cannot drive, by the W3C's protocols: Firefox over BiDi, WebKitGTK over WebDriver.

Both take the same actions of mouse and keyboard, so a test has one body for all. Scripts run in the page
and answer JSON.
"""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import trio
from trio_websocket import open_websocket_url

from tests.conformance.clients import FIREFOX_PREFERENCES, START_S, display, minibrowser
from tests.harness.processes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio_websocket import WebSocketConnection

    from tests.harness.processes import ChildProcess

VIDEO = "document.querySelector('video')"
POLL_S = 0.1
CALL_S = 30.0
JSON = dict[str, Any]


class RemoteWire(Protocol):
    """What a protocol has to offer."""

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is loaded."""

    async def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, as JSON carries it."""

    async def act(self, actions: list[JSON]) -> None:
        """Move the mouse or press keys, as a person does."""


class RemotePage:
    """The one page of a browser."""

    def __init__(self, wire: RemoteWire) -> None:
        self.open = wire.open
        self.run = wire.run
        self._act = wire.act

    async def until(self, expression: str, within_s: float = 20.0) -> Any:
        """Return the first truthy value of an expression; AssertionError with the page's text after that."""
        with trio.move_on_after(within_s):
            while not (value := await self.run(expression)):
                await trio.sleep(POLL_S)
            return value
        text = await self.run(f"document.body.innerText + JSON.stringify({VIDEO}?.dataset)")
        raise AssertionError(f"not within {within_s} s: {expression}\n{text}")

    async def click(self, selector: str) -> None:
        """Press the first element that fits, once it is there."""
        box = f"document.querySelector({json.dumps(selector)})?.getBoundingClientRect()"
        centre = "{x: box.x + box.width / 2, y: box.y + box.height / 2}"
        at = await self.until(f"(box => box && ({centre}))({box})")
        move = {"type": "pointerMove", "duration": 0, "x": round(at["x"]), "y": round(at["y"])}
        press = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"pointerType": "mouse"}
        await self._act([{"type": "pointer", "id": "mouse", "parameters": mouse, "actions": press}])

    async def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self.click(selector)
        keys = [{"type": kind, "value": sign} for sign in text for kind in ("keyDown", "keyUp")]
        await self._act([{"type": "key", "id": "keys", "actions": keys}])


@asynccontextmanager
async def browser(kind: str, folder: Path) -> AsyncIterator[RemotePage]:
    """Run Firefox or WebKitGTK for the length of a block."""
    async with AsyncExitStack() as stack:
        wire = await {"firefox": _firefox, "webkit": _webkit}[kind](folder, stack)
        yield RemotePage(wire)


async def _said(child: ChildProcess, pattern: str) -> str:
    """Wait until a child has written something."""
    with trio.fail_after(START_S):
        while not (found := re.search(pattern, child.output())):
            assert child.returncode is None, child.output()
            await trio.sleep(POLL_S)
    return found[1]


# -- Firefox, WebDriver BiDi ---------------------------------------------------------------------


class Bidi:
    """Commands one after another; what Firefox tells in between is not needed."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket, self._number, self._context = socket, 0, ""

    async def call(self, method: str, **params: Any) -> JSON:
        """Return a command's result; AssertionError for its refusal."""
        self._number += 1
        with trio.fail_after(CALL_S):
            await self._socket.send_message(
                json.dumps({"id": self._number, "method": method, "params": params})
            )
            while (answer := json.loads(await self._socket.get_message())).get("id") != self._number:
                pass
        assert answer["type"] == "success", answer
        return dict(answer["result"])

    async def begin(self) -> None:
        """Start a session on the window that is there."""
        await self.call("session.new", capabilities={})
        self._context = (await self.call("browsingContext.getTree"))["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, expression: str) -> Any:
        """Return a value."""
        answer = await self.call(
            "script.evaluate",
            expression=f"JSON.stringify({expression}) ?? 'null'",
            target={"context": self._context},
            awaitPromise=False,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    async def act(self, actions: list[JSON]) -> None:
        """Use mouse or keyboard."""
        await self.call("input.performActions", context=self._context, actions=actions)


async def _firefox(folder: Path, stack: AsyncExitStack) -> RemoteWire:
    profile = folder / "firefox"
    profile.mkdir()
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in FIREFOX_PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    command = ("firefox-esr", "--headless", "--no-remote", "--remote-debugging-port", "0")
    child = await stack.enter_async_context(
        running(*command, "--profile", profile, folder=folder, env={"HOME": str(profile)})
    )
    url = await _said(child, r"WebDriver BiDi listening on (ws://\S+)")
    bidi = Bidi(await stack.enter_async_context(open_websocket_url(f"{url}/session")))
    await bidi.begin()
    return bidi


# -- WebKitGTK, WebDriver ------------------------------------------------------------------------


class WebDriver:
    """The classic protocol over HTTP."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http, self._session = http, ""

    async def call(self, path: str, **body: Any) -> Any:
        """Return a command's value; AssertionError for its refusal."""
        answer = await self._http.post(f"/session{self._session}{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    async def begin(self, options: JSON) -> None:
        """Start a session, and with it the browser."""
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        self._session = "/" + (await self.call("", capabilities=wanted))["sessionId"]

    async def end(self) -> None:
        """Close the browser."""
        await self._http.delete(f"/session{self._session}")

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("/url", url=url)

    async def run(self, expression: str) -> Any:
        """Return a value."""
        return await self.call("/execute/sync", script=f"return {expression} ?? null", args=[])

    async def act(self, actions: list[JSON]) -> None:
        """Use mouse or keyboard."""
        await self.call("/actions", actions=actions)


async def _webkit(folder: Path, stack: AsyncExitStack) -> RemoteWire:
    home = folder / "webkit"
    home.mkdir()
    env = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "DISPLAY": await display(folder, stack),
        "GDK_BACKEND": "x11",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    await listener[0].aclose()  # the driver takes no port 0
    await stack.enter_async_context(
        running("WebKitWebDriver", f"--port={port}", "--host=127.0.0.1", folder=folder, env=env)
    )
    http = await stack.enter_async_context(
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=CALL_S)
    )
    with trio.fail_after(START_S):
        while not await _answers(http):
            await trio.sleep(POLL_S)
    driver = WebDriver(http)
    await driver.begin({"binary": minibrowser() or "MiniBrowser", "args": ["--automation"]})
    stack.push_async_callback(_quietly, driver.end)
    return driver


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/status")).status_code == 200
    except httpx.TransportError:
        return False


async def _quietly(end: Any) -> None:
    """End a session, also when a test was cancelled; a browser that does not answer is killed anyway."""
    with trio.move_on_after(5, shield=True):
        await end()
