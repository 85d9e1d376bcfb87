"""Probes go only where a node may be, wherever its name leads by now."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
import trio

from airclass.domain.nodes import Node, Nodes
from airclass.io.clock import Clock
from airclass.io.http_client import HttpClient, open_client
from airclass.io.probe import Prober
from relay.base.cluster_protocol import Registration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORD = Registration("n1", "http://relay.example:1", "", (), 150, 0, "test", 1.0, ())
ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Resolver(trio.abc.HostnameResolver):
    """Names lead where the test says."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        addresses = self.names.get(name.partition(".")[0])
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port or 0)) for a in addresses]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@asynccontextmanager
async def relay() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that notes each request's head."""
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            heads.append(await stream.receive_some(4096))
            await stream.send_all(ANSWER)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1], heads
        nursery.cancel_scope.cancel()


def registered(url: str, peer: str) -> Node:
    return Nodes(lambda *_: None).register(msgspec.structs.replace(RECORD, public_url=url), peer, 0.0)


async def probed(node: Node, resolver: Resolver) -> str:
    trio.socket.set_custom_hostname_resolver(resolver)
    async with open_client() as client:
        with trio.fail_after(5):
            await Prober(client, Clock(), 30.0).probe(node)
    return node.warning


async def test_the_checked_address_is_called_under_the_name() -> None:
    async with relay() as (port, heads):
        resolver = Resolver(relay=["127.0.0.2", "127.0.0.1"])
        node = registered(f"http://relay.example:{port}", "127.0.0.1")
        assert await probed(node, resolver) == ""
        assert resolver.asked == ["relay.example"], "the name is resolved once, and then not asked for again"
        assert f"host: relay.example:{port}".encode() in heads[0].lower()


@pytest.mark.parametrize(
    ("leads_to", "word"),
    [
        (["169.254.169.254"], "no address that students can reach"),
        (["127.0.0.1"], "another machine"),
        (["192.0.2.1", "127.0.0.1"], "another machine"),
        (["0.0.0.0"], "no address"),
    ],
)
async def test_a_name_that_leads_where_no_node_is_is_not_called(leads_to: list[str], word: str) -> None:
    async with relay() as (port, heads):
        node = registered(f"http://relay.example:{port}", "198.51.100.7")
        assert word in await probed(node, Resolver(relay=leads_to))
        assert heads == []


async def test_a_name_that_is_not_known_cannot_be_reached() -> None:
    node = registered("http://nowhere.example:80", "198.51.100.7")
    assert "cannot reach NODE_PUBLIC_URL" in await probed(node, Resolver())


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
