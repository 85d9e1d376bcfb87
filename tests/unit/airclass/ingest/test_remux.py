"""Copying a recorded lesson: fragments of the right length, cut at key frames, nothing lost."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import av
import pytest

from airclass.ingest import remux, teacher
from airclass.ingest.muxer import Fragment, HlsFlavour, StreamFormat
from relay.base.errors import OriginError


@dataclass
class Kept:
    """A Sink that keeps everything."""

    shapes: list[StreamFormat] = field(default_factory=list)
    fragments: list[Fragment] = field(default_factory=list)

    def opened(self, shape: StreamFormat) -> None:
        self.shapes.append(shape)

    def fragment(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 3.2 s with a key frame every 1.2 s, 25 frames a second, made at full speed."""
    path = tmp_path_factory.mktemp("lesson") / "lesson.flv"
    with av.open(str(path), "w", format="flv") as container:
        session = teacher.PublisherSession(container, teacher.video_plan("320x180", 25, 200, 1.2))
        for number in range(80):
            session.step(number)
    return path


def copied(source: str | BytesIO, flavour: HlsFlavour) -> Kept:
    kept = Kept()
    with av.open(source) as container:
        remux.copy(container, kept, flavour=flavour, part_s=0.5, segment_s=1.0)
    return kept


def frames(data: bytes) -> list[float]:
    """Return the presentation times of all video packets."""
    with av.open(BytesIO(data)) as container:
        return sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None)


def test_parts_of_half_a_second_cut_at_key_frames(lesson: Path) -> None:
    kept = copied(str(lesson), HlsFlavour.LOW_LATENCY)
    (shape,) = kept.shapes
    assert shape.codecs == ("avc1.42c00c", "mp4a.40.2")
    assert (shape.width, shape.height, shape.fps) == (320, 180, 25)
    assert shape.init[4:8] == b"ftyp"
    parts = kept.fragments
    assert [round(p.duration_s, 2) for p in parts[:6]] == [0.52, 0.52, 0.16, 0.52, 0.52, 0.16]
    assert [p.independent for p in parts[:6]] == [True, False, False] * 2
    assert [p.before_key for p in parts[:6]] == [False, False, True] * 2
    assert all(p.data[4:8] == b"moof" for p in parts)


def test_nothing_is_lost_and_durations_add_up(lesson: Path) -> None:
    original = frames(lesson.read_bytes())
    kept = copied(str(lesson), HlsFlavour.LOW_LATENCY)
    times = frames(kept.shapes[0].init + b"".join(f.data for f in kept.fragments))
    assert len(times) == len(original)
    assert times[-1] - times[0] == pytest.approx(original[-1] - original[0], abs=0.002)
    total_s = sum(f.duration_s for f in kept.fragments)
    assert total_s == pytest.approx(times[-1] - times[0] + 1 / 25, abs=0.01)


def test_every_part_is_playable_with_the_init(lesson: Path) -> None:
    kept = copied(str(lesson), HlsFlavour.FMP4)
    for part in kept.fragments[:4]:
        times = frames(kept.shapes[0].init + part.data)
        assert len(times) == round(part.duration_s * 25)


def test_ts_segments_begin_at_key_frames(lesson: Path) -> None:
    kept = copied(str(lesson), HlsFlavour.MPEGTS)
    assert kept.shapes[0].init == b""
    assert [f.duration_s for f in kept.fragments[:2]] == pytest.approx([1.2, 1.2], abs=0.01)
    for segment in kept.fragments:
        assert len(segment.data) % 188 == 0
        assert segment.data[0] == 0x47
        with av.open(BytesIO(segment.data)) as container:
            packet = next(container.demux(video=0))
            assert packet.is_keyframe


def test_picture_without_sound_is_fine(lesson: Path) -> None:
    silent = BytesIO()
    with av.open(str(lesson)) as source, av.open(silent, "w", format="flv") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    silent.seek(0)
    kept = copied(silent, HlsFlavour.LOW_LATENCY)
    assert [len(shape.codecs) for shape in kept.shapes] == [1]
    assert kept.fragments[0].independent


@pytest.mark.parametrize("flavour", list(HlsFlavour))
def test_other_codecs_are_refused_with_advice(flavour: HlsFlavour) -> None:
    wrong = BytesIO()
    with av.open(wrong, "w", format="matroska") as target:
        stream = target.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)]:
            target.mux(packet)
    wrong.seek(0)
    with pytest.raises(OriginError, match="sends mpeg4: choose H.264"):
        copied(wrong, flavour)
