"""Cutting text into lines: limits, tolerated oddities, variables."""

from __future__ import annotations

import pytest

from relay.base.errors import PlaylistError
from relay.core.playlist.lines import (
    MAX_LINE_CHARS,
    MAX_LINES,
    MAX_TEXT_CHARS,
    MAX_VARIABLES,
    read_lines,
)


def lines(*texts: str) -> list[str]:
    return [line.text for line in read_lines("\n".join(("#EXTM3U", *texts)))]


def refused(*texts: str) -> PlaylistError:
    with pytest.raises(PlaylistError) as caught:
        lines(*texts)
    return caught.value


def test_lines_are_cut_into_tag_and_value() -> None:
    tag, uri = read_lines('#EXTM3U\n#EXT-X-KEY:METHOD=NONE,X="a:b"\nhttp://a:80/x.ts\n')
    assert (tag.no, tag.tag, tag.value) == (2, "#EXT-X-KEY", 'METHOD=NONE,X="a:b"')
    assert (uri.no, uri.tag, uri.value) == (3, "", "http://a:80/x.ts")


def test_a_mark_cr_lf_blanks_and_comments_are_tolerated() -> None:
    text = "\ufeff#EXTM3U \r\n\r\n# a comment\r\n#EXT-X-VERSION:3 \r\n\ta.ts\r\n"
    assert [(line.no, line.text) for line in read_lines(text)] == [(4, "#EXT-X-VERSION:3"), (5, "a.ts")]


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U8", "\n#EXTM3U", "#EXTM3U:x"])
def test_what_does_not_begin_with_extm3u_is_no_playlist(text: str) -> None:
    with pytest.raises(PlaylistError, match="not a playlist") as caught:
        list(read_lines(text))
    assert caught.value.line_no == 1


def test_text_and_lines_are_bounded() -> None:
    assert lines("a" * MAX_LINE_CHARS)
    assert refused("#", "a" * (MAX_LINE_CHARS + 1)).line_no == 3
    assert refused("a" * MAX_TEXT_CHARS).line_no == 0
    assert len(lines(*["a"] * MAX_LINES)) == MAX_LINES
    assert "lines" in refused(*["a"] * (MAX_LINES + 1)).reason


@pytest.mark.parametrize("bad", ["\0", "\r", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_refused(bad: str) -> None:
    assert refused(f"a{bad}b").line_no == 2


def test_separators_that_are_not_line_ends_stay_in_the_line() -> None:
    assert lines("a\u2028b") == ["a\u2028b"]


def test_variables_are_replaced_everywhere_but_in_titles() -> None:
    found = lines(
        '#EXT-X-DEFINE:NAME="host",VALUE="https://a.example"',
        "#EXTINF:2,{$host}",
        "{$host}/{$host}.ts",
        '#EXT-X-MAP:URI="{$host}/i"',
    )
    assert found[1:] == [
        "#EXTINF:2,{$host}",
        "https://a.example/https://a.example.ts",
        '#EXT-X-MAP:URI="https://a.example/i"',
    ]


@pytest.mark.parametrize("kind", ['IMPORT="t"', 'QUERYPARAM="t"'])
def test_variables_from_elsewhere_are_refused_by_name(kind: str) -> None:
    error = refused(f"#EXT-X-DEFINE:{kind}")
    assert error.line_no == 2
    assert kind.split("=")[0] in error.reason


@pytest.mark.parametrize(
    "define", ['NAME="a"', 'VALUE="b"', 'NAME="a b",VALUE="c"', 'NAME="a",VALUE="{$b}"', 'NAME="",VALUE="x"']
)
def test_a_define_that_cannot_be_used_is_refused(define: str) -> None:
    assert refused(f"#EXT-X-DEFINE:{define}").line_no == 2


def test_a_variable_must_be_defined_above_and_once() -> None:
    define = '#EXT-X-DEFINE:NAME="a",VALUE="1"'
    assert refused("{$a}", define).line_no == 2
    assert refused(define, define).line_no == 3


def test_variables_cannot_blow_up_the_playlist() -> None:
    many = [f'#EXT-X-DEFINE:NAME="a{n}",VALUE="1"' for n in range(MAX_VARIABLES + 1)]
    assert refused(*many).line_no == MAX_VARIABLES + 2
    long = f'#EXT-X-DEFINE:NAME="a",VALUE="{"x" * 4000}"'
    assert refused(long, "{$a}" * 5).line_no == 3
    assert "too long" in refused(long, *["{$a}{$a}"] * 126).reason


def test_a_reference_made_by_replacing_is_refused() -> None:
    assert refused('#EXT-X-DEFINE:NAME="a",VALUE="$b}"', "{{$a}").line_no == 3
