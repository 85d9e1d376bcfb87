"""A message through apprise and without it, to a receiver on loopback; a webhook that refuses or is none."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import apprise
import pytest

from airclass.ops.alerts import AlertMessage
from airclass.ops.notify import AlertSender
from airclass.ops.report import CRITICAL, OK

if TYPE_CHECKING:
    from collections.abc import Iterator

# apprise imports it where Python still has it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
ALERT = AlertMessage("AIRClass: 1 problem now", "[CRITICAL] slave-1 is offline", CRITICAL)


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Return HOST:PORT, and what was posted there."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


async def test_what_apprise_speaks_gets_title_body_and_kind() -> None:
    with receiver() as (address, got):
        assert await AlertSender(f"json://{address}/hook").send(ALERT)
        assert await AlertSender(f"json://{address}/hook").send(
            AlertMessage("AIRClass: all is well again", "[RECOVERED]", OK)
        )
    assert (got[0]["title"], got[0]["type"]) == (ALERT.title, "failure")
    assert "slave-1 is offline" in got[0]["message"]
    assert got[1]["type"] == "success"


@pytest.mark.parametrize(
    ("webhook", "plugin"),
    [
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "NotifySlack"),
        ("https://discord.com/api/webhooks/000000000/XXXXXXXXXXXXXXXXXXXXXXXX", "NotifyDiscord"),
    ],
)
def test_an_address_as_the_chat_shows_it_is_known(webhook: str, plugin: str) -> None:
    sender = apprise.Apprise()
    assert sender.add(webhook)
    assert [type(service).__name__ for service in sender] == [plugin]


async def test_a_plain_address_gets_what_chats_read() -> None:
    with receiver() as (address, got):
        assert await AlertSender(f"http://{address}/hook?key=1").send(ALERT)
    assert got[0]["text"] == got[0]["content"] == f"{ALERT.title}\n{ALERT.body}"
    assert got[0]["level"] == CRITICAL


@pytest.mark.parametrize("scheme", ["http", "json"])
async def test_a_refusal_is_told_and_kept_quiet(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    with receiver(500) as (address, _):
        assert not await AlertSender(f"{scheme}://{address}/hook-secret").send(ALERT)
    assert "alert.failed" in caplog.text
    assert "hook-secret" not in caplog.text


async def test_what_is_no_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert not await AlertSender("my-chat").send(ALERT)
    assert "no address that is understood" in caplog.text
