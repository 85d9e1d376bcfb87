"""Properties of playlists: text ↔ value for any value, and no text that breaks the reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from relay.base.errors import PlaylistError
from relay.core.playlist import (
    ByteRange,
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    Playlist,
    PreloadHint,
    Rendition,
    RenditionReport,
    Segment,
    ServerControl,
    Variant,
    parse,
    render,
)

DATA = Path(__file__).parents[1] / "data" / "playlists"
REAL = [path.read_text() for path in sorted(DATA.glob("*.m3u8"))]
ODD = [
    '#EXT-X-DEFINE:NAME="v",VALUE="x"',
    "{$v}",
    '#EXT-X-KEY:METHOD=AES-128,URI="k"',
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-BYTERANGE:5",
    "#EXT-X-BYTERANGE:5@7",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-ENDLIST",
    "#EXT-X-SKIP:SKIPPED-SEGMENTS=1",
    '#EXT-X-RENDITION-REPORT:URI="r",LAST-MSN=1',
    "#EXT-X-NEW:1",
    "\0",
    "a.mp4",
]

_text = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zs"), exclude_characters='"{'), min_size=1, max_size=8
)
_uri = _text.filter(lambda uri: not uri.startswith("#"))
_count = st.integers(0, 2**40)
_duration = st.integers(0, 10**6).map(lambda n: n / 10**5)
_date = st.integers(0, 4 * 10**12).map(lambda n: n / 1000)
_range = st.none() | st.builds(ByteRange, _count, _count)
_tags = st.lists(_text.map("#EXT-X-NEW:".__add__), max_size=2).map(tuple)
_keys = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=2).flatmap(
    lambda formats: st.tuples(
        *(
            st.builds('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{}",KEYFORMAT="{}"'.format, _uri, st.just(form))
            for form in formats
        )
    )
)
_part = st.builds(Part, _uri, _duration, st.booleans(), st.booleans(), _range)
_parts = st.lists(_part, max_size=3).map(tuple)
_segment = st.builds(
    Segment,
    st.just(0),
    _uri,
    _duration,
    _parts,
    st.booleans(),
    st.booleans(),
    st.none() | st.builds(Map, _uri, _range, _keys),
    _keys,
    st.none() | _date,
    _range,
    _text,
    _tags,
)
_control = st.builds(ServerControl, st.booleans(), *[st.none() | _duration] * 3)
_hint = st.builds(PreloadHint, st.sampled_from(["PART", "MAP"]), _uri, st.none() | _count, st.none() | _count)
_report = st.builds(RenditionReport, _uri, _count, st.none() | _count)


@st.composite
def _media_playlist(draw: st.DrawFn) -> MediaPlaylist:
    first = draw(_count)
    segments = draw(st.lists(_segment, max_size=4))
    for n, segment in enumerate(segments):
        # A map stays in force, so a segment without one can only follow segments without one.
        section = segment.map or (segments[n - 1].map if n else None)
        segments[n] = replace(segment, msn=first + n, map=section)
    last = segments[-1] if segments else Segment(0, "", 0.0)
    parts = draw(_parts)
    following = Segment(first + len(segments), "", 0.0, parts, map=last.map, keys=last.keys)
    return MediaPlaylist(
        draw(st.integers(0, 100)),
        tuple(segments),
        first,
        draw(_count),
        draw(st.none() | _duration),
        draw(_control),
        following if parts else None,
        tuple(draw(st.lists(_hint, max_size=2))),
        tuple(draw(st.lists(_report, max_size=2))),
        draw(st.booleans()),
        draw(st.sampled_from(["", "EVENT", "VOD"])),
        draw(st.integers(0, 12)),
        draw(st.booleans()),
        draw(_tags),
    )


_attributes = st.dictionaries(
    st.from_regex(r"X-[A-Z0-9-]{1,8}", fullmatch=True), _text.map('"{}"'.format) | st.just("1x2"), max_size=3
).map(lambda found: tuple(found.items()))
_required = (("TYPE", "AUDIO"), ("GROUP-ID", '"g"'), ("NAME", '"n"'))
_multivariant = st.builds(
    MultivariantPlaylist,
    st.lists(st.builds(Variant, _uri, _attributes), min_size=1, max_size=3).map(tuple),
    st.lists(_attributes.map(lambda more: Rendition(_required + more)), max_size=2).map(tuple),
    st.booleans(),
    st.integers(0, 12),
    _tags,
)


@given(_media_playlist() | _multivariant)
def test_what_is_written_is_read_back(playlist: Playlist) -> None:
    assert parse(render(playlist)) == playlist


def read_and_written(text: str) -> None:
    """The one property of any text: refused by name, or read, written and read back the same."""
    try:
        playlist = parse(text)
    except PlaylistError:
        return
    assert parse(render(playlist)) == playlist


@given(st.text(max_size=200))
def test_any_text_is_refused_or_read(text: str) -> None:
    read_and_written(text)
    read_and_written("#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + text)
    read_and_written("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + text)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """A real playlist with lines removed, doubled, swapped or invented, and characters changed."""
    lines = draw(st.sampled_from(REAL)).split("\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "double", "swap", "odd", "character"])):
            case "cut":
                lines[at] = ""
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "odd":
                lines.insert(at, draw(st.sampled_from(ODD)))
            case _:
                place = draw(st.integers(0, len(lines[at])))
                inserted = draw(
                    st.text(max_size=2) | st.sampled_from(['"', ",", "=", "{$v}", "\r", "-1", "@"])
                )
                lines[at] = lines[at][:place] + inserted + lines[at][place + draw(st.integers(0, 2)) :]
    return "\n".join(lines)


@given(_mutated())
def test_a_mutated_real_playlist_is_refused_or_read(text: str) -> None:
    read_and_written(text)
