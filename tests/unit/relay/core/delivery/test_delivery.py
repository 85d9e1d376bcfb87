"""Every decision about a viewer's request, without a socket."""

from __future__ import annotations

import gc
import gzip
import math
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from relay.base.errors import RequestError
from relay.base.tokens import mint_viewer
from relay.core.delivery import delivery as rules
from relay.core.delivery.delivery import Delivery, HeldRequest
from relay.core.delivery.request import Request, RequestHeaders
from relay.core.delivery.response import CorsHeaders, Response
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, Variant, parse
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.viewers.admission import Admission
from relay.core.viewers.registry import Viewer, ViewerRegistry
from tests.harness.builders import MemoryBody, begin, data, fetch_all, ll, opened, parts, playlist, segment

if TYPE_CHECKING:
    from relay.core.stream.stream import Stream
    from relay.core.stream.window import Window

KEY = b"k" * 32
WALL_S = time.time()
HERE = "192.0.2.1"
INDEX = MultivariantPlaylist((Variant("video.m3u8", (("BANDWIDTH", "1"),)),))


def token(token_id: str = "t1", classroom: str = "class1", lifetime_s: float = 3600) -> str:
    return mint_viewer(
        KEY,
        subject="s1",
        token_id=token_id,
        classroom=classroom,
        issued_at_s=WALL_S - 60,
        expires_at_s=WALL_S + lifetime_s,
    )


TOKEN = token()


class Rig:
    """An edge with one stream: segment 0 and two parts of segment 1, parts of 0.5 s."""

    def __init__(self, *, public: bool = False, low_latency: bool = True, **options: object) -> None:
        self.now_s = 100.0
        self.admission = Admission(ViewerRegistry(), keys=(KEY,), public=public, max_viewers=1000)
        self.delivery = Delivery(
            self.admission,
            CorsHeaders(("*",)),
            MemoryBody,
            budget=MemoryBudget(1_000_000),
            **options,  # type: ignore[arg-type]
        )
        self.stream: Stream = self.delivery.open_stream("class1")
        self.stream.describe(INDEX, "http://origin.example/index.m3u8")
        self.window: Window = self.stream.windows["v0"]
        self.low_latency = low_latency

    def list_parts(self, shown: int = 2, msn: int = 1) -> None:
        whole = segment(msn - 1, parts=parts(msn - 1, 4))
        last = segment(msn, parts=parts(msn, 4)) if shown == 4 else opened(msn, *parts(msn, shown))
        listed = ll(whole, last) if self.low_latency else playlist(2, segment(msn - 1), segment(msn))
        epoch = self.stream.timeline.newest or begin(self.stream.timeline, like=listed)
        self.window.update(listed, epoch, self.now_s, WALL_S)
        fetch_all(self.window, self.now_s)

    def held_request(
        self,
        name: str,
        *,
        method: bytes = b"GET",
        text: str | None = TOKEN,
        stream: str = "class1",
        address: str = HERE,
        **headers: object,
    ) -> Response | HeldRequest:
        read = RequestHeaders()
        for key, value in headers.items():
            setattr(read, key, value)
        target = f"/t/{text}/{stream}/{name}" if text is not None else f"/{stream}/{name}"
        request = Request(method, target.encode(), read)
        result, _ = self.delivery.answer(request, address, now_s=self.now_s, wall_s=WALL_S)
        return result

    def response(self, name: str, **options: object) -> Response:
        result = self.held_request(name, **options)  # type: ignore[arg-type]
        assert isinstance(result, Response)
        return result

    def held(self, name: str, who: str = "connection", **options: object) -> HeldRequest:
        result = self.held_request(name, **options)  # type: ignore[arg-type]
        assert isinstance(result, HeldRequest)
        self.delivery.hold(who, result)
        return result

    def refused(self, name: str, **options: object) -> int:
        with pytest.raises(RequestError) as caught:
            self.held_request(name, **options)  # type: ignore[arg-type]
        return caught.value.status

    def publish(self) -> list[object]:
        return list(self.delivery.reached(self.stream, self.window))

    @property
    def tag(self) -> str:
        return self.stream.timeline.epochs[-1].tag


def rig(**options: object) -> Rig:
    made = Rig(**options)  # type: ignore[arg-type]
    made.list_parts()
    return made


def listed(response: Response) -> MediaPlaylist:
    found = parse(response.text.decode())
    assert isinstance(found, MediaPlaylist)
    return found


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//",
        "/x",
        "/t/",
        "/t/a/b",
        "/a/b/c",
        "/t/a/b/c/d",
        "/x/a/class1/index.m3u8",
        "//class1",
        "/class1/",
        "/t/../class1",
    ],
)
def test_addresses_that_mean_nothing(target: str) -> None:
    with pytest.raises(RequestError) as caught:
        rig(public=True).delivery.answer(
            Request(b"GET", target.encode(), RequestHeaders()), HERE, now_s=1, wall_s=WALL_S
        )
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "name",
    [
        "..%2fetc%2fpasswd",
        "..%5c..%5cetc",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "x%00.m3u8",
        "..",
        "../",
        "....",
        "C:",
        "v0-..-1.mp4",
        "v0..",
        "file:",
        "v0.m3u8%00.ts",
        "v0-" + "x" * 5000,
    ],
)
def test_forms_of_path_traversal_find_nothing(name: str) -> None:
    assert rig().refused(name) == 404


def test_a_stream_name_is_matched_as_it_stands() -> None:
    one = rig()
    for name in ("..", "class1%00", "Class1", "%63lass1", "\xe9"):
        with pytest.raises(RequestError) as caught:
            one.delivery.answer(
                Request(b"GET", f"/t/{TOKEN}/{name}/index.m3u8".encode("latin-1"), RequestHeaders()),
                HERE,
                now_s=1,
                wall_s=WALL_S,
            )
        assert caught.value.status == 403


def test_a_stream_that_is_not_here() -> None:
    one = rig()
    assert one.refused("index.m3u8", text=token(classroom="class2"), stream="class2") == 404


def test_a_preflight_needs_no_token() -> None:
    response = rig().response("index.m3u8", method=b"OPTIONS", text="x")
    assert response.status == 204


# -- who ------------------------------------------------------------------------------------------


def test_a_viewer_is_found_by_the_token_and_noted() -> None:
    one = rig()
    one.response("index.m3u8?CMCD=bl%3D2300")
    (viewer,) = one.delivery.registry
    assert (viewer.token_id, viewer.quality.buffer_ms) == ("t1", 2300)
    one.now_s = 105.0
    assert viewer.rendition == ""
    one.response("v0.m3u8")
    assert (viewer.last_s, viewer.rendition) == (105.0, "v0")
    one.window.audio_only = True
    viewer.rendition = "v7"
    one.response("v0.m3u8")
    assert viewer.rendition == "v7"  # its sound says nothing of what it watches
    assert len(one.delivery.registry) == 1


def test_a_wrong_token_is_refused() -> None:
    one = rig()
    assert one.refused("index.m3u8", text="x") == 401
    assert one.refused("index.m3u8", text=token(classroom="class2")) == 403
    assert one.refused("index.m3u8", text=token(lifetime_s=-60)) == 401
    assert len(one.delivery.registry) == 0


def test_what_changes_while_someone_watches_counts_at_once() -> None:
    one = rig()
    one.response("v0.m3u8")
    one.delivery.open_stream("class2")
    assert one.refused("v0.m3u8", stream="class2") == 403
    one.admission.revoke(["t1"], [])
    assert one.refused("v0.m3u8") == 403
    one.admission.revoke([], [])
    one.response("v0.m3u8")
    one.now_s += 3700
    assert one.refused("v0.m3u8") == 401


def test_a_token_in_query_or_header_moves_into_the_path() -> None:
    one = rig()
    response = one.response("index.m3u8?a=1&token=x.y-z_1&b=2", text=None)
    assert response.status == 302
    assert b"Location: /t/x.y-z_1/class1/index.m3u8?a=1&b=2\r\n" in response.head
    response = one.response("index.m3u8", text=None, bearer="x.y")
    assert b"Location: /t/x.y/class1/index.m3u8\r\n" in response.head


@pytest.mark.parametrize("query", ["", "?token=", "?token=a/b", "?token=%0d%0aX:1", "?token=a?b", "?x=1"])
def test_a_token_that_is_none_is_not_put_into_an_address(query: str) -> None:
    assert rig().refused("index.m3u8" + query, text=None) == 401


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/\\evil.example/index.m3u8?token=x", b"/t/x/\\evil.example/index.m3u8"),
        ("/http:%2f%2fevil.example/index.m3u8?token=x", b"/t/x/http:%2f%2fevil.example/index.m3u8"),
        ("/evil.example/i.m3u8?token=x&next=//evil.example", b"/t/x/evil.example/i.m3u8?next=//evil.example"),
        ("/class1/%0d%0aX:1?token=x", b"/t/x/class1/%0d%0aX:1"),
    ],
)
def test_a_redirect_never_leads_away(target: str, location: bytes) -> None:
    """Only the path form of the same address is ever sent, whatever the address is."""
    request = Request(b"GET", target.encode(), RequestHeaders())
    result, _ = rig().delivery.answer(request, HERE, now_s=1.0, wall_s=WALL_S)
    assert isinstance(result, Response)
    lines = [line for line in result.head.split(b"\r\n") if line.startswith(b"Location:")]
    assert lines == [b"Location: " + location]


def test_an_address_of_another_server_is_none_of_ours() -> None:
    request = Request(b"GET", b"//evil.example/index.m3u8?token=x", RequestHeaders())
    with pytest.raises(RequestError) as caught:
        rig().delivery.answer(request, HERE, now_s=1.0, wall_s=WALL_S)
    assert caught.value.status == 404


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/readyz", "/t/x/metrics", "/class1/../metrics"])
def test_the_operators_pages_are_not_on_the_viewers_port(target: str) -> None:
    one = rig()
    with pytest.raises(RequestError) as caught:
        one.delivery.answer(
            Request(b"GET", target.encode(), RequestHeaders()), HERE, now_s=1.0, wall_s=WALL_S
        )
    assert caught.value.status in (401, 404)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_turns_nobody_away_who_watches(jump_s: float) -> None:
    one = rig()
    one.response("v0.m3u8")
    request = Request(b"GET", f"/t/{TOKEN}/class1/v0.m3u8".encode(), RequestHeaders())
    result, _ = one.delivery.answer(request, HERE, now_s=one.now_s + 1, wall_s=WALL_S + jump_s)
    assert isinstance(result, Response)
    assert result.status == 200


def test_a_bearer_of_other_letters_is_refused() -> None:
    assert rig().refused("index.m3u8", text=None, bearer="\xe9\xb2") == 401


def test_queries_and_numbers_that_are_different_each_time_leave_nothing_behind() -> None:
    """A flood of distinct addresses must not fill the memory: none of them is a key of anything."""
    one = rig()
    one.response("v0.m3u8")
    before = _sizes(one.delivery)
    for number in range(100_000):
        if number % 100:
            one.held_request(f"v0.m3u8?x={number}&CMCD=sid%3D%22{number}%22")
        else:
            with pytest.raises(RequestError) as caught:
                one.held_request(f"v0.m3u8?_HLS_msn={number + 1000}&_HLS_part=0")
            assert caught.value.status == 400
    assert _sizes(one.delivery) == before
    assert len(one.delivery.registry) == 1


def _sizes(delivery: Delivery) -> list[int]:
    cache = delivery._playlist_caches["class1"]
    return [len(cache.made), len(cache.waiting), delivery.held, len(delivery.registry)]


def test_a_public_relay_lets_everyone_watch_by_address() -> None:
    one = rig(public=True)
    one.response("index.m3u8", text=None)
    one.response("v0.m3u8", text=None, address="192.0.2.2")
    assert one.delivery.registry.count("class1") == 2


def test_nobody_is_noted_down_for_a_stream_that_is_not_here() -> None:
    one = rig(public=True)
    assert one.refused("index.m3u8", text=None, stream="nothing") == 404
    assert len(one.delivery.registry) == 0


# -- playlists ------------------------------------------------------------------------------------


def test_no_picture_yet() -> None:
    one = Rig()
    for name in ("index.m3u8", "v0.m3u8"):
        assert one.refused(name) == 503
    one.stream.problem = ""
    assert one.refused("v0.m3u8") == 503


def test_whoever_wakes_a_stream_on_demand_waits_for_its_first_picture() -> None:
    one = Rig()
    one.stream.on_demand = True
    held_requests = {name: one.held(name, who=name) for name in ("index.m3u8", "v0.m3u8", "v9.m3u8")}
    assert one.publish() == []
    one.list_parts()
    assert sorted(map(str, one.publish())) == sorted(held_requests)
    assert one.delivery.held == 0
    responses = {
        name: one.delivery.resume(held_requests[name], one.now_s) for name in ("index.m3u8", "v0.m3u8")
    }
    assert b"v0.m3u8" in responses["index.m3u8"].text
    assert b"#EXT-X-PART" in responses["v0.m3u8"].text
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_requests["v9.m3u8"], one.now_s)
    assert caught.value.status == 404
    assert one.response("index.m3u8").status == 200


def test_whoever_wakes_a_stream_that_does_not_come_is_told_so() -> None:
    one = Rig()
    one.stream.on_demand, one.stream.problem = True, "nobody is publishing"
    held_request = one.held("index.m3u8")
    assert one.delivery.next_due_s() == one.now_s + rules.WAKE_S
    assert one.delivery.overdue(one.now_s + rules.WAKE_S) == ["connection"]
    with pytest.raises(RequestError, match="no picture yet: nobody is publishing") as caught:
        one.delivery.resume(held_request, one.now_s + rules.WAKE_S)
    assert caught.value.status == 503
    gone = one.held("index.m3u8", who="another")
    one.delivery.drop("another", gone)
    assert one.delivery.held == 0


def test_the_index_is_the_same_bytes_for_all_until_it_changes() -> None:
    one = rig()
    first = one.response("index.m3u8")
    assert one.response("index.m3u8?_HLS_msn=99") is first
    assert one.response("index.m3u8", text=token("t2")) is first
    one.stream.describe(
        MultivariantPlaylist((Variant("video.m3u8", (("BANDWIDTH", "2"),)),)), "http://o.example/index.m3u8"
    )
    assert one.response("index.m3u8").text != first.text


def test_a_playlist_is_the_same_bytes_for_all_until_it_changes() -> None:
    one = rig()
    plain = one.response("v0.m3u8")
    assert one.response("v0.m3u8", text=token("t2")) is plain
    packed = one.response("v0.m3u8", gzip=True)
    assert gzip.decompress(packed.text) == plain.text
    assert one.response("v0.m3u8", text=token("t2"), gzip=True) is packed
    one.list_parts(3)
    assert one.response("v0.m3u8").text != plain.text


def test_a_player_that_has_it_already_is_told_so() -> None:
    one = rig()
    tag = one.response("v0.m3u8").head.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    assert one.response("v0.m3u8", if_none_match=b'"old", ' + tag).status == 304
    one.list_parts(3)
    assert one.response("v0.m3u8", if_none_match=tag).status == 200


def test_a_playlist_that_does_not_exist() -> None:
    assert rig().refused("v9.m3u8") == 404


@pytest.mark.parametrize(
    "query", ["_HLS_msn=0", "_HLS_msn=1&_HLS_part=1", "_HLS_msn=0&_HLS_part=9", "_HLS_skip=YES", "x=1"]
)
def test_what_is_there_is_answered_now(query: str) -> None:
    one = rig()
    assert one.response(f"v0.m3u8?{query}") is one.response("v0.m3u8")


@pytest.mark.parametrize("query", ["_HLS_msn=3", "_HLS_msn=1&_HLS_part=9", "_HLS_part=1", "_HLS_msn=x"])
def test_what_makes_no_sense_is_refused(query: str) -> None:
    assert rig().refused(f"v0.m3u8?{query}") == 400


def test_directives_mean_nothing_without_low_latency() -> None:
    one = rig(low_latency=False)
    assert one.response("v0.m3u8?_HLS_msn=99").status == 200


def test_a_blocking_request_waits_for_its_part() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    assert one.delivery.held == 1
    assert held_request.until_s == pytest.approx(100 + 0.75 * 2.4)
    assert one.delivery.next_due_s() == held_request.until_s
    assert one.publish() == []
    one.list_parts(3)
    assert one.publish() == ["connection"]
    assert one.delivery.held == 0
    response = one.delivery.resume(held_request, one.now_s)
    assert response is one.response("v0.m3u8")
    found = listed(response).open_segment
    assert found is not None
    assert len(found.parts) == 3


def test_a_blocking_request_for_a_segment_waits_for_all_of_it() -> None:
    one = rig()
    one.held("v0.m3u8?_HLS_msn=1")
    one.list_parts(3)
    assert one.publish() == []
    one.list_parts(4)
    assert one.publish() == ["connection"]


def test_at_the_hold_limit_the_playlist_is_sent_as_it_is() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    assert one.delivery.overdue(held_request.until_s - 0.01) == []
    assert one.delivery.overdue(held_request.until_s) == ["connection"]
    assert one.delivery.held == 0
    assert one.delivery.resume(held_request, held_request.until_s) is one.response("v0.m3u8")


def test_at_the_hold_limit_the_letter_of_the_specification_can_be_had() -> None:
    one = rig(answer_at_hold_limit=False)
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, held_request.until_s)
    assert caught.value.status == 503
    one.list_parts(3)
    assert one.delivery.resume(held_request, held_request.until_s).status == 200
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=3")
    one.stream.ended = True
    assert one.publish() == ["connection"] * 1
    assert listed(one.delivery.resume(held_request, held_request.until_s)).ended


def test_one_who_leaves_is_not_held_any_more() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    one.delivery.drop("connection", held_request)
    assert one.delivery.held == 0
    one.list_parts(3)
    assert one.publish() == []
    assert one.delivery.next_due_s() == math.inf


def test_only_so_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    one = rig()
    monkeypatch.setattr(rules, "MAX_HELD", 2)
    for who in ("a", "b"):
        one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2", who)
    assert one.refused("v0.m3u8?_HLS_msn=1&_HLS_part=2") == 503


def test_whoever_was_revoked_while_held_is_told() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    one.admission.revoke(["t1"], [])
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, one.now_s)
    assert caught.value.status == 403


# -- objects --------------------------------------------------------------------------------------


def test_all_that_is_listed_can_be_had() -> None:
    one = rig()
    text = listed(one.response("v0.m3u8"))
    assert text.open_segment is not None
    whole = text.segments[0]
    assert whole.map is not None
    names = [whole.uri, *(p.uri for p in whole.parts), *(p.uri for p in text.open_segment.parts)]
    for name in (*names, whole.map.uri):
        response = one.response(name)
        assert response.status == 200
        assert response.kind == ("part" if name.count(".") > 1 else "segment")
        assert one.response(name, text=token("t2")) is response


def test_a_range_of_a_segment() -> None:
    one = rig()
    name = f"v0-{one.tag}-0.mp4"
    size = 4 * len(data("p0.0.mp4"))
    response = one.response(name, range=b"bytes=5-9")
    assert (response.status, response.offset, response.size_bytes) == (206, 5, 5)
    assert one.response(name, range=b"bytes=9-5").status == 200
    assert one.refused(name, range=f"bytes={size}-".encode()) == 416


@pytest.mark.parametrize("name", ["v0-00000000-0.mp4", "x-1.mp4", "v0-0.mp4", "gap.mp4", "v0"])
def test_unknown_objects(name: str) -> None:
    assert rig().refused(name) == 404


def test_a_hinted_part_is_sent_when_it_is_here() -> None:
    one = rig()
    hint = listed(one.response("v0.m3u8")).preload_hints[0].uri
    held_request = one.held(hint)
    assert held_request.until_s == 100.0 + 9.0
    one.list_parts(3)
    assert one.publish() == ["connection"]
    response = one.delivery.resume(held_request, one.now_s)
    assert (response.kind, response.size_bytes) == ("part", len(data("p1.2.mp4")))


def test_a_hinted_part_that_never_came_is_not_found() -> None:
    one = rig()
    held_request = one.held(listed(one.response("v0.m3u8")).preload_hints[0].uri)
    assert one.delivery.overdue(109.0) == ["connection"]
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, 109.0)
    assert caught.value.status == 404


# -- the life of a stream -------------------------------------------------------------------------


def test_a_draining_relay_moves_players_on_but_lets_segments_flow() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    one.admission.draining = True
    for name in ("index.m3u8", "v0.m3u8"):
        assert one.refused(name) == 410
    assert one.response(f"v0-{one.tag}-0.mp4").status == 200
    assert one.delivery.everyone(one.stream) == ["connection"]
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, one.now_s)
    assert caught.value.status == 410


def test_a_class_that_ends_says_so_for_a_minute() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    one.delivery.end_stream("class1", one.now_s)
    one.delivery.end_stream("class1", one.now_s + 50)
    one.delivery.end_stream("nothing", one.now_s)
    assert one.publish() == ["connection"]
    assert listed(one.delivery.resume(held_request, one.now_s)).ended
    assert listed(one.response("v0.m3u8?_HLS_msn=99&_HLS_part=9")).ended
    one.now_s += 61
    assert one.refused("v0.m3u8") == 410


def test_a_stream_that_is_forgotten_frees_whoever_waited() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    assert one.delivery.close_stream("class1") == ["connection"]
    assert one.delivery.close_stream("class1") == []
    assert one.delivery.held == 0
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, one.now_s)
    assert caught.value.status == 410
    assert one.refused("v0.m3u8") == 404
    assert one.publish() == []


def test_a_refused_stream_moves_players_on() -> None:
    one = rig()
    one.stream.refused = True
    assert one.refused("v0.m3u8") == 410


def test_a_stream_that_begins_anew_is_not_answered_from_what_is_gone() -> None:
    one = rig()
    held_request = one.held("v0.m3u8?_HLS_msn=1&_HLS_part=2")
    epoch = one.stream.timeline.newest
    assert epoch is not None
    one.window.update(ll(segment(50, parts=parts(50, 4))), epoch, one.now_s, WALL_S)
    with pytest.raises(RequestError) as caught:
        one.delivery.resume(held_request, one.now_s)
    assert caught.value.status == 503


def test_a_stream_is_opened_once() -> None:
    one = rig()
    assert one.delivery.open_stream("class1") is one.stream


def test_nobody_waits_for_a_rendition_that_was_never_asked_for() -> None:
    assert rig().publish() == []


def test_the_silent_leave_after_three_target_durations() -> None:
    one = rig()
    one.response("v0.m3u8")
    one.delivery.sweep(one.now_s + 9.0)
    assert len(one.delivery.registry) == 1
    one.delivery.sweep(one.now_s + 9.1)
    assert len(one.delivery.registry) == 0


def test_the_silent_leave_also_where_nothing_is_played() -> None:
    one = Rig()
    viewer = Viewer(b"x", subject="s", token_id="t", stream="class1", expires_s=1e9, now_s=100.0, wall_s=0.0)
    one.delivery.registry.enter(viewer)
    one.delivery.sweep(110.1)
    assert len(one.delivery.registry) == 0


def test_a_finished_playlist_keeps_no_window_that_was_given_back() -> None:
    it = rig()
    assert listed(it.response("v0.m3u8")).segments
    given_back = weakref.ref(it.window)
    it.stream.forget_media()
    del it.window
    gc.collect()
    assert given_back() is None
    it.stream.describe(INDEX, "http://origin.example/index.m3u8")
    it.window = it.stream.windows["v0"]
    it.list_parts(msn=3)
    assert listed(it.response("v0.m3u8")).media_sequence > 0, "not the playlist of the window before"
