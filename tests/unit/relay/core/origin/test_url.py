import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.base.errors import ConfigError, OriginError
from relay.core.origin.url import MAX_URL_CHARS, OriginUrl, locate, parse_origin, resolve, server_of

BASE = "http://origin:8888/live/class1/index.m3u8"


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://h/live/x.m3u8", OriginUrl("http", "h", 80, "/live/x.m3u8"), "h"),
        (
            "HTTPS://Host.Example:8443/a?b=c#d",
            OriginUrl("https", "host.example", 8443, "/a?b=c"),
            "host.example:8443",
        ),
        ("http://[::1]:8888", OriginUrl("http", "::1", 8888, "/"), "[::1]:8888"),
        ("https://h:443/", OriginUrl("https", "h", 443, "/"), "h"),
        ("http://h/a b/ü.m3u8?q=ü", OriginUrl("http", "h", 80, "/a%20b/%C3%BC.m3u8?q=%C3%BC"), "h"),
    ],
)
def test_parts_of_an_address(url: str, origin: OriginUrl, authority: str) -> None:
    assert parse_origin(url) == origin
    assert parse_origin(url).authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://h/x",
        "//h/x",
        "/live/x.m3u8",
        "",
        "http:///x",
        "http://user:secret@h/x",
        "http://h:0/x",
        "http://h:70000/x",
        "http://h:x/",
        "http://[::1/x",
        "http://h\\evil/x",
        "http://h/x\r\nHost: evil",
        "http://h/\x00",
        "http://h e/x",
        "http://" + "h" * MAX_URL_CHARS,
    ],
)
def test_what_cannot_be_an_origin(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_origin(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("video1_stream.m3u8?key=1", "http://origin:8888/live/class1/video1_stream.m3u8?key=1"),
        ("../class2/a.mp4", "http://origin:8888/live/class2/a.mp4"),
        ("../../../../a.mp4", "http://origin:8888/a.mp4"),
        ("/a.mp4", "http://origin:8888/a.mp4"),
        ("?q=1", "http://origin:8888/live/class1/index.m3u8?q=1"),
        ("//other/a.mp4", "http://other/a.mp4"),
        ("https://cdn.example/a.mp4?x=y", "https://cdn.example/a.mp4?x=y"),
        ("seg 1.ts", "http://origin:8888/live/class1/seg%201.ts"),
        ("..%2f..%2fa", "http://origin:8888/live/class1/..%2f..%2fa"),
        ("12:30.ts", None),
    ],
)
def test_what_a_uri_in_a_playlist_means(uri: str, meant: str | None) -> None:
    if meant is None:
        # RFC 3986 §4.2: a first segment with a colon would be a scheme.
        uri, meant = "./" + uri, "http://origin:8888/live/class1/12:30.ts"
    assert resolve(BASE, uri) == meant


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///etc/passwd", "data:text/plain,x", "javascript:alert(1)", "gopher://h/"),
        *("a\nb", "a\x7fb", "a\\b"),
        *("http://[::1", "http://user@h/", "http://h:99999/", "x" * (MAX_URL_CHARS + 1)),
    ],
)
def test_uris_that_are_refused(uri: str) -> None:
    with pytest.raises(OriginError) as caught:
        resolve(BASE, uri)
    assert caught.value.kind == "refused"


def test_only_the_same_scheme_host_and_port_are_the_same_server() -> None:
    origin = locate("http://h/a")
    assert origin.same_server(locate("http://H:80/b"))
    for other in ("https://h/a", "http://h:81/a", "http://h2/a"):
        assert not origin.same_server(locate(other))


@given(st.text(max_size=60))
def test_any_uri_gives_a_clean_url_or_an_origin_error(uri: str) -> None:
    try:
        url = resolve(BASE, uri)
    except OriginError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert locate(url).url == url


def test_a_malformed_base_is_refused_too() -> None:
    with pytest.raises(OriginError):
        resolve("http://[::1", "a.mp4")


def test_people_are_told_the_server_and_no_token() -> None:
    assert server_of("http://h:8888/t/secret/live/index.m3u8?token=secret") == "http://h:8888"
    assert server_of("https://[::1]/x") == "https://[::1]"
    assert server_of("http://u:secret@h/x") == "an address that cannot be used"
