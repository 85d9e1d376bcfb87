"""A node's public address is probed; the log says once that it fails, and once that it answers again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from airclass.domain.nodes import Nodes
from airclass.io.clock import Clock
from airclass.io.http_client import HttpClient
from airclass.io.probe import Prober
from relay.base.cluster_protocol import Registration

if TYPE_CHECKING:
    import pytest


async def test_an_address_that_fails_and_answers_again_is_logged_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    answers = False

    def answer(request: httpx.Request) -> httpx.Response:
        if not answers:
            raise httpx.ConnectError("refused")
        return httpx.Response(404)

    clock = Clock()
    nodes = Nodes(lambda *_: None)
    record = Registration("n1", "http://10.0.0.5:8080", "", (), 150, 0, "3.0", 1.0)
    node = nodes.register(record, "10.0.0.5", clock.now_s())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        prober = Prober(HttpClient(client), clock, 10.0)
        await prober.probe(node)
        await prober.probe(node)
        assert node.warning
        answers = True
        await prober.probe(node)
        await prober.probe(node)
    assert not node.warning
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "airclass.io.probe"]
    assert lines == [
        (
            "WARNING",
            "node.unreachable node=n1 reason=the master cannot reach NODE_PUBLIC_URL http://10.0.0.5:8080",
        ),
        ("INFO", "node.reachable node=n1"),
    ]
