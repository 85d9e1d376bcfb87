"""The upstream client against a server that misbehaves; memory and a virtual clock where time counts."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from relay.base.errors import ConfigError, OriginError
from relay.core.counters import OriginCounters
from relay.core.playlist import ByteRange
from relay.io.origin.http_client import OriginClient, OriginLimits, dial
from tests.harness.fake_http import FakeServer, Handler, ReceivedRequest, drip, reply

REAL_TIME_S = 5.0


class Bench:
    """An Upstream before a FakeServer."""

    def __init__(self, server: FakeServer, **settings: object) -> None:
        self.server = server
        self.counters = OriginCounters()
        self.origin_client = OriginClient(server.url + "/live/index.m3u8", counters=self.counters, **settings)

    async def get(self, path: str = "/live/a.mp4", **how):
        how = {"first_byte_s": 2.0, "max_bytes": 1000, **how}
        url = path if "base_url" in how else self.server.url + path
        return await self.origin_client.get(url, **how)

    async def kind(self, path: str = "/live/a.mp4", **how: object) -> str:
        with pytest.raises(OriginError) as caught:
            await self.get(path, **how)
        assert self.counters.failed[caught.value.kind] == 1
        return caught.value.kind


@asynccontextmanager
async def bench(handler: Handler, *, sockets: bool = False, **settings: object) -> AsyncIterator[Bench]:
    server = FakeServer(handler)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: server.run(sockets=sockets, task_status=task_status))
        if not sockets:
            settings = {"connect": server.connect, **settings}
        made = Bench(server, **settings)
        yield made
        await made.origin_client.aclose()
        nursery.cancel_scope.cancel()


async def hello(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"hello"))


async def silent(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


# -- what is asked, what comes back -------------------------------------------------------------


async def test_a_request_says_what_it_must_and_connections_are_kept() -> None:
    async with bench(hello, sockets=True, bearer="s3cret") as it:
        with trio.fail_after(REAL_TIME_S):
            for _ in range(3):
                answer = await it.get("/live/a%20b.mp4?_HLS_msn=3&_HLS_part=1")
    assert (answer.status, answer.body, answer.headers) == (200, b"hello", {"content-length": "5"})
    request = it.server.requests[0]
    assert (request.method, request.target) == ("GET", "/live/a%20b.mp4?_HLS_msn=3&_HLS_part=1")
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == it.server.url.removeprefix("http://")
    assert it.counters.connections == it.server.connections == 1
    assert (it.counters.requests, it.counters.received_bytes) == (3, 15)


async def test_pieces_of_a_good_body_go_to_the_sink_as_they_arrive(autojump_clock: MockClock) -> None:
    async def slowly(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await drip(stream, reply(b"abcd"), 1.0, 23)

    pieces: list[tuple[float, bytes]] = []
    async with bench(slowly) as it:
        answer = await it.get(sink=lambda piece: pieces.append((trio.current_time(), piece)))
    assert answer.body == b""
    assert b"".join(piece for _, piece in pieces) == b"abcd"
    assert len(pieces) > 1
    assert pieces[0][0] < pieces[-1][0]


async def test_the_text_of_an_error_never_reaches_the_sink() -> None:
    async def missing(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"no such thing", 404))

    async with bench(missing) as it:
        pieces: list[bytes] = []
        answer = await it.get(sink=pieces.append)
    assert (answer.status, answer.body, pieces) == (404, b"no such thing", [])


async def test_a_sink_that_fails_keeps_its_error() -> None:
    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with bench(hello) as it:
        with pytest.raises(OSError, match="No space"):
            await it.get(sink=full)
        assert (await it.get()).body == b"hello"
        assert it.server.connections == 2


async def test_a_byte_range_is_asked_for() -> None:
    async def ranged(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        assert request.headers["range"] == "bytes=2-4"
        await stream.send_all(reply(b"llo", 206, [("Content-Range", "bytes 2-4/5")]))

    async with bench(ranged) as it:
        assert (await it.get(byterange=ByteRange(3, 2))).body == b"llo"


@pytest.mark.parametrize("bearer", ["a\r\nHost: evil", "ü"])
def test_a_bearer_that_breaks_a_header_is_refused(bearer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OriginClient("http://h/", bearer=bearer)
    assert bearer not in str(caught.value)


# -- where it may go ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/x",
        "https://origin.test/x",
        "http://origin.test:81/x",
        "file:///etc/passwd",
        "http://origin.test@evil/x",
    ],
)
async def test_no_address_but_the_origins_is_ever_asked(url: str) -> None:
    async with bench(hello) as it:
        with pytest.raises(OriginError) as caught:
            await it.origin_client.get(url, first_byte_s=1, max_bytes=10)
        assert caught.value.kind == "refused"
        assert it.server.connections == 0


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://169.254.169.254/x", "//evil/x", "a\nb"])
async def test_a_playlists_uri_that_leads_elsewhere_is_refused_and_counted(uri: str) -> None:
    async with bench(hello) as it:
        assert await it.kind(base_url=it.server.url + "/live/", path=uri) == "refused"
        assert it.server.connections == 0


async def test_a_playlists_uri_is_resolved() -> None:
    async with bench(hello) as it:
        base = it.server.url + "/live/video1_stream.m3u8"
        answer = await it.origin_client.get("../x.mp4?a=b", base_url=base, first_byte_s=1, max_bytes=10)
        assert answer.url == "http://origin.test/x.mp4?a=b"


async def test_redirects_stay_on_the_server_and_end() -> None:
    async def redirecting(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        where = {
            "/live/a": "b?cookieCheck=1",
            "/live/b": "/live/c",
            "/live/round": "/live/round",
            "/live/away": "http://169.254.169.254/",
            "/live/down": "file:///etc/passwd",
            "/live/none": "",
        }.get(request.path)
        if where is None:
            await stream.send_all(reply(b"here"))
        else:
            await stream.send_all(reply(b"moved", 302, [("Location", where)] if where else []))

    async with bench(redirecting) as it:
        pieces: list[bytes] = []
        answer = await it.get("/live/a", sink=pieces.append)
        assert (answer.status, answer.url, pieces) == (200, "http://origin.test/live/c", [b"here"])
    for path, asked in (("/live/round", 4), ("/live/away", 1), ("/live/down", 1), ("/live/none", 4)):
        async with bench(redirecting) as it:
            assert await it.kind(path) == "refused"
            assert len(it.server.requests) == asked


# -- lateness -----------------------------------------------------------------------------------


async def test_no_answer_in_time(autojump_clock: MockClock) -> None:
    async with bench(silent) as it:
        started_s = trio.current_time()
        assert await it.kind(first_byte_s=2.5) == "timeout"
        assert trio.current_time() - started_s == pytest.approx(2.5)


@pytest.mark.parametrize("first_byte_s", [0.5, 60.0])
async def test_a_connection_that_never_comes(first_byte_s: float, autojump_clock: MockClock) -> None:
    """It may take no longer than the first byte may."""

    async def never(origin: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    async with bench(hello, connect=never) as it:
        assert await it.kind(first_byte_s=first_byte_s) == "connect"
        assert trio.current_time() == pytest.approx(min(first_byte_s, OriginLimits().connect_s))


async def test_silence_within_an_answer(autojump_clock: MockClock) -> None:
    async def stuck(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"hello")[:-1])
        await trio.sleep_forever()

    async with bench(stuck) as it:
        assert await it.kind() == "timeout"
        assert trio.current_time() == pytest.approx(OriginLimits().progress_s)


@pytest.mark.parametrize("data", [reply(b"x" * 500), b"HTTP/1.1 200 OK\r\nA: " + b"b" * 500])
async def test_an_answer_that_drips_for_ever(data: bytes, autojump_clock: MockClock) -> None:
    async def dripping(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await drip(stream, data, 4.0)

    async with bench(dripping) as it:
        assert await it.kind() == "timeout"
        assert trio.current_time() == pytest.approx(OriginLimits().answer_s)


async def test_a_third_caller_waits_for_one_of_two_connections(autojump_clock: MockClock) -> None:
    async def slow(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await trio.sleep(1)
        await stream.send_all(reply(b"hello"))

    async with bench(slow) as it:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(it.get)
        assert trio.current_time() == pytest.approx(2)
        assert it.server.connections == 2


async def test_the_wait_for_a_connection_ends(autojump_clock: MockClock) -> None:
    async with bench(silent, limits=OriginLimits(queue_s=1.5)) as it, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(lambda: it.get(first_byte_s=1000))
        await trio.testing.wait_all_tasks_blocked()
        assert await it.kind() == "timeout"
        assert trio.current_time() == pytest.approx(1.5)
        nursery.cancel_scope.cancel()


# -- connections that end -----------------------------------------------------------------------


@pytest.mark.parametrize("sockets", [False, True])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 2", reply(b"hello")[:-2], reply(b"hello", chunked=True)[:-5]]
)
async def test_an_answer_cut_short(sent: bytes, sockets: bool) -> None:
    async def cut(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        if sent:
            await stream.send_all(sent)
        await stream.aclose()

    async with bench(cut, sockets=sockets) as it:
        with trio.fail_after(REAL_TIME_S):
            assert await it.kind() == "truncated"
        assert len(it.server.requests) == 1


@pytest.mark.parametrize("sockets", [False, True])
async def test_a_closed_idle_connection_is_replaced_without_notice(sockets: bool) -> None:
    async def once(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"hello"))
        await stream.aclose()

    async with bench(once, sockets=sockets) as it:
        with trio.fail_after(REAL_TIME_S):
            for _ in range(3):
                assert (await it.get()).body == b"hello"
        assert it.counters.retries == 2
        assert it.counters.connections == 3


async def test_a_second_failure_is_not_retried() -> None:
    async def first_only(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        if request.connection == 1 and "range" not in request.headers:
            await stream.send_all(reply(b"hello"))
        else:
            await stream.aclose()

    async with bench(first_only) as it:
        await it.get()
        assert await it.kind(byterange=ByteRange(1, 0)) == "truncated"
        assert len(it.server.requests) == 3


async def test_nothing_is_retried_once_an_answer_began() -> None:
    async def half(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        whole = len(it.server.requests) == 1
        await stream.send_all(reply(b"hello") if whole else b"HTTP/1.1 200 OK\r\n")
        if not whole:
            await stream.aclose()

    async with bench(half) as it:
        await it.get()
        assert await it.kind() == "truncated"
        assert len(it.server.requests) == 2


async def test_an_old_idle_connection_is_not_used(autojump_clock: MockClock) -> None:
    async with bench(hello) as it:
        await it.get()
        await trio.sleep(OriginLimits().keep_alive_s - 0.1)
        await it.get()
        assert it.server.connections == 1
        await trio.sleep(OriginLimits().keep_alive_s + 0.1)
        await it.get()
        assert it.server.connections == 2
        assert it.counters.retries == 0
        await trio.testing.wait_all_tasks_blocked()
        assert it.server.open_connections == 1


async def test_a_word_spoken_unasked_is_not_taken_for_an_answer() -> None:
    async def chatty(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"hello"))
        if request.connection == 1:
            await stream.send_all(reply(b"late", 408))
            said.set()

    said = trio.Event()
    async with bench(chatty, sockets=True) as it:
        with trio.fail_after(REAL_TIME_S):
            await it.get()
            await said.wait()
            assert (await it.get()).body == b"hello"
        assert it.server.connections == 2


async def test_a_cancelled_fetch_leaves_no_half_used_connection(autojump_clock: MockClock) -> None:
    async def second_is_slow(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        if request.path == "/live/slow":
            await stream.send_all(reply(b"hello")[:-1])
            await trio.sleep(10)
            await stream.send_all(b"o")
        else:
            await stream.send_all(reply(request.path.encode()))

    async with bench(second_is_slow) as it:
        await it.get("/live/1")
        with trio.move_on_after(1) as scope:
            await it.get("/live/slow")
        assert scope.cancelled_caught
        assert (await it.get("/live/2")).body == b"/live/2"
        assert it.server.connections == 2
        assert not it.counters.failed
        await it.origin_client.aclose()
        await trio.sleep(20)
        assert it.server.open_connections == 0


async def test_nobody_listens_and_no_such_name() -> None:
    with trio.fail_after(REAL_TIME_S):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        await listeners[0].aclose()
        for url, why in (
            (f"http://127.0.0.1:{port}/x", "(connection refused)"),
            ("http://no-such-host.invalid/x", "(its name is not known)"),
        ):
            with pytest.raises(OriginError) as caught:
                await OriginClient(url).get(url, first_byte_s=1, max_bytes=10)
            assert caught.value.kind == "connect"
            assert why in caught.value.reason


# -- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the paths of a certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    assert Path(cert).is_file()
    return cert, key


async def test_https_is_verified(certificate: tuple[str, str]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = FakeServer(hello)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(REAL_TIME_S):
            await nursery.start(
                lambda task_status: server.run(sockets=True, ssl_context=context, task_status=task_status)
            )
            trusting = OriginClient(server.url, ca_file=certificate[0])
            for _ in range(2):
                answer = await trusting.get(server.url + "/x", first_byte_s=1, max_bytes=10)
                assert answer.body == b"hello"
            assert server.connections == 1
            with pytest.raises(OriginError) as caught:
                await OriginClient(server.url).get(server.url + "/x", first_byte_s=1, max_bytes=10)
            assert caught.value.kind == "connect"
            await trusting.aclose()
        nursery.cancel_scope.cancel()


async def test_a_connection_cancelled_within_its_handshake_is_closed() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(REAL_TIME_S):
        async with trio.open_nursery() as nursery:
            url = f"https://127.0.0.1:{port}/"
            origin_client = OriginClient(url, limits=OriginLimits(connect_s=0.1), connect=dial)
            with pytest.raises(OriginError) as caught:
                await origin_client.get(url, first_byte_s=1, max_bytes=10)
            assert caught.value.kind == "connect"
            accepted = await listeners[0].accept()
            while await accepted.receive_some():
                pass  # the client hello, then the end
            await accepted.aclose()
            nursery.cancel_scope.cancel()
    await listeners[0].aclose()
