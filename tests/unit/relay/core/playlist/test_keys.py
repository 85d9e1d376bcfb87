"""Which EXT-X-KEY lines are in force, what is printed on a change, and the implied IV."""

from __future__ import annotations

import pytest

from relay.base.errors import PlaylistError
from relay.core.playlist import with_absolute_uri, with_explicit_iv
from relay.core.playlist.keys import NO_KEY, key_lines, keys_after

AES = '#EXT-X-KEY:METHOD=AES-128,URI="k1"'
AES_2 = '#EXT-X-KEY:METHOD=AES-128,URI="k2",KEYFORMAT="identity"'
FAIRPLAY = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="com.apple.streamingkeydelivery"'


def test_a_line_replaces_the_one_of_its_format() -> None:
    assert keys_after((), AES, 1) == (AES,)
    assert keys_after((AES, FAIRPLAY), AES_2, 1) == (FAIRPLAY, AES_2)
    assert keys_after((AES, FAIRPLAY), NO_KEY, 1) == ()


@pytest.mark.parametrize("line", ["#EXT-X-KEY", '#EXT-X-KEY:URI="k"', "#EXT-X-KEY:METHOD=AES-128"])
def test_a_line_without_method_or_uri_is_refused(line: str) -> None:
    with pytest.raises(PlaylistError) as caught:
        keys_after((), line, 5)
    assert caught.value.line_no == 5


@pytest.mark.parametrize("before", [(), (AES,), (AES, FAIRPLAY), (FAIRPLAY,), (AES_2,), (FAIRPLAY, AES_2)])
@pytest.mark.parametrize("after", [(), (AES,), (AES, FAIRPLAY), (FAIRPLAY,), (AES_2,), (FAIRPLAY, AES_2)])
def test_a_reader_of_the_printed_lines_has_the_wanted_keys(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    keys = before
    for line in key_lines(before, after):
        keys = keys_after(keys, line, 1)
    assert keys == after
    assert key_lines(after, after) == ()


def test_the_implied_iv_is_the_sequence_number() -> None:
    assert with_explicit_iv(AES, 258) == AES + ",IV=0x00000000000000000000000000000102"
    assert with_explicit_iv(AES_2, 1) == AES_2 + ",IV=0x00000000000000000000000000000001"
    given = AES + ",IV=0x12"
    foreign = AES + ',KEYFORMAT="x"'
    for line in (given, foreign, FAIRPLAY, NO_KEY):
        assert with_explicit_iv(line, 1) == line


def test_a_key_stays_with_its_own_server() -> None:
    base = "http://origin.example/live/video.m3u8"
    assert with_absolute_uri(AES, base) == '#EXT-X-KEY:METHOD=AES-128,URI="http://origin.example/live/k1"'
    assert with_absolute_uri(FAIRPLAY, base) == FAIRPLAY
    assert with_absolute_uri(NO_KEY, base) == NO_KEY
    assert with_absolute_uri(AES, "") == AES
    data = '#EXT-X-SESSION-DATA:DATA-ID="a",URI="/title.json"'
    assert with_absolute_uri(data, base) == data.replace("/title", "http://origin.example/title")
