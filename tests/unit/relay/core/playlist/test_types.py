"""What the records themselves offer."""

from __future__ import annotations

import dataclasses

import pytest

from relay.core.playlist import MediaPlaylist, Rendition, Segment


def test_a_rendition_reads_its_attributes() -> None:
    media = Rendition((("TYPE", "AUDIO"), ("GROUP-ID", '"aud"'), ("NAME", '"English"'), ("URI", '"a.m3u8"')))
    assert (media.type, media.group_id, media.name, media.uri) == ("AUDIO", "aud", "English", "a.m3u8")
    assert Rendition((("TYPE", "CLOSED-CAPTIONS"),)).uri is None
    bare = Rendition(())
    assert (bare.type, bare.group_id, bare.name) == ("", "", "")


def test_records_are_frozen_and_compare_by_value() -> None:
    playlist = MediaPlaylist(2, (Segment(0, "a", 2.0),))
    assert playlist == MediaPlaylist(2, (Segment(0, "a", 2.0),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        playlist.ended = True  # type: ignore[misc]
