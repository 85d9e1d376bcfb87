"""Attribute lists and values: what is read, what is refused, and that the line is named."""

from __future__ import annotations

import math

import pytest

from relay.base.errors import PlaylistError
from relay.core.playlist import attribute
from relay.core.playlist.attributes import (
    MAX_ATTRIBUTES,
    TagAttributes,
    byterange,
    date_s,
    duration_s,
    integer,
    parse_attributes,
    print_attributes,
    print_date,
    print_duration,
)


def test_values_stay_raw_and_in_order() -> None:
    text = 'BANDWIDTH=452476,CODECS="avc1.42c014,mp4a.40.2",RESOLUTION=320x180,X-EMPTY=""'
    attributes = parse_attributes(text, 3)
    assert attributes == (
        ("BANDWIDTH", "452476"),
        ("CODECS", '"avc1.42c014,mp4a.40.2"'),
        ("RESOLUTION", "320x180"),
        ("X-EMPTY", '""'),
    )
    assert print_attributes(attributes) == text
    assert attribute(attributes, "CODECS") == "avc1.42c014,mp4a.40.2"
    assert attribute(attributes, "RESOLUTION") == "320x180"
    assert attribute(attributes, "X-EMPTY") == ""
    assert attribute(attributes, "NAME") is None


@pytest.mark.parametrize("text", ["A=1, B=2", "A=1,\tB=2 ,", "A=1,B=2,"])
def test_blanks_and_a_last_comma_are_tolerated(text: str) -> None:
    assert parse_attributes(text, 1) == (("A", "1"), ("B", "2"))


@pytest.mark.parametrize(
    "text", ["A", "=1", ",A=1", 'A="x', 'A="x"y', 'A=x"y"', "A=1,A=2", "A=1,,B=2", "Ä=1"]
)
def test_what_is_no_attribute_list_is_refused(text: str) -> None:
    with pytest.raises(PlaylistError) as caught:
        parse_attributes(text, 7)
    assert caught.value.line_no == 7


def test_the_number_of_attributes_is_bounded() -> None:
    most = ",".join(f"A{n}=1" for n in range(MAX_ATTRIBUTES))
    assert len(parse_attributes(most, 1)) == MAX_ATTRIBUTES
    with pytest.raises(PlaylistError, match="more than"):
        parse_attributes(most + ",B=1", 1)


@pytest.mark.parametrize("pair", [("A B", "1"), ("A", "1,2"), ("A", '"x"y"'), ("A", " 1"), ("", "1")])
def test_a_list_that_could_not_be_read_back_is_not_written(pair: tuple[str, str]) -> None:
    with pytest.raises(PlaylistError):
        print_attributes((pair,))


def test_fields_are_read_as_the_types_that_a_tag_wants() -> None:
    fields = TagAttributes('URI="a b",N=12,D=1.5,R="10@20",Y=YES,M=NO', 1)
    assert fields.text("URI") == "a b"
    assert (fields.integer("N"), fields.integer("X")) == (12, None)
    assert (fields.duration_s("D"), fields.duration_s("X")) == (1.5, None)
    assert (fields.byterange("R"), fields.byterange("X")) == ((10, 20), None)
    assert (fields.yes("Y"), fields.yes("M"), fields.yes("X")) == (True, False, False)


def test_a_missing_empty_or_unknown_value_names_its_line() -> None:
    fields = TagAttributes('URI="",Y=PERHAPS', 9)
    for ask in (lambda: fields.text("URI"), lambda: fields.text("X"), lambda: fields.yes("Y")):
        with pytest.raises(PlaylistError) as caught:
            ask()
        assert caught.value.line_no == 9


def test_integers_have_64_bits() -> None:
    assert integer("18446744073709551615", 1) == 2**64 - 1
    for text in ("18446744073709551616", "-1", "1.0", "", " 1", "٣", "1" * 21):
        with pytest.raises(PlaylistError):
            integer(text, 1)


def test_durations_are_kept_as_they_are_printed() -> None:
    assert duration_s("2.002002", 1) == 2.002
    assert duration_s("2.", 1) == 2.0
    assert print_duration(duration_s("0.333333", 1)) == "0.33333"
    for text in ("-1", "1e3", "nan", "inf", "86401", "", "1.5s", ".5"):
        with pytest.raises(PlaylistError):
            duration_s(text, 1)
    for seconds in (-0.1, math.nan, math.inf, 86_401.0):
        with pytest.raises(PlaylistError):
            print_duration(seconds)


def test_byte_ranges() -> None:
    assert byterange("75232@0", 1) == (75232, 0)
    assert byterange("82112", 1) == (82112, None)
    for text in ("@1", "1@", "a@b", "1@2@3", "99999999999999999999@0"):
        with pytest.raises(PlaylistError):
            byterange(text, 1)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2026-11-23T15:52:12.926Z", "2026-11-23T15:52:12.926Z"),
        ("2026-11-23T15:52:14.92Z", "2026-11-23T15:52:14.920Z"),
        ("2026-11-23T15:52:14Z", "2026-11-23T15:52:14.000Z"),
        ("2026-11-23T16:52:14.1234567+01:00", "2026-11-23T15:52:14.123Z"),
        ("2026-11-23T16:52:14+0100", "2026-11-23T15:52:14.000Z"),
        ("2026-11-23T15:52:14.500", "2026-11-23T15:52:14.500Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_dates(text: str, printed: str) -> None:
    assert print_date(date_s(text, 1)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "2026-13-23T15:52:14Z",
        "2026-11-23T15:52:61Z",
        "15:52:14",
        "now",
        "",
        "0001-01-01T00:00:00+05:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:00",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(PlaylistError):
        date_s(text, 4)


def test_a_date_outside_of_the_calendar_is_not_written() -> None:
    for seconds in (-1.0, 1e12, math.nan):
        with pytest.raises(PlaylistError):
            print_date(seconds)
