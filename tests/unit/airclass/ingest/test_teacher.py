"""The synthetic lesson, published into a file: what a player would receive."""

import os
import signal
import socket
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path

import av
import pytest

from airclass.ingest import teacher
from airclass.ingest.test_pattern import timecode
from relay.base.errors import ConfigError

TEACHER = [sys.executable, "-m", "airclass.ingest.teacher"]
DEADLINE_S = 30


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        teacher.video_plan("641x360", 0, 1, 99)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "--size",
        "--fps",
        "--bitrate-kbps",
        "--keyframe-s",
    ]


def test_the_address_comes_from_standard_input_or_the_environment_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEACH_TO", "rtmp://environment")
    monkeypatch.setattr("sys.stdin", StringIO("rtmp://input\n"))
    assert teacher._target("rtmp://argument") == "rtmp://argument"
    assert teacher._target("-") == "rtmp://input"
    assert teacher._target("") == "rtmp://environment"
    monkeypatch.delenv("TEACH_TO")
    with pytest.raises(ConfigError, match="TEACH_TO"):
        teacher._target("")


@pytest.mark.parametrize("size", ["", "x", "640", "640x", "640x361", "16x9", "8000x4000", "-640x360"])
def test_sizes_that_cannot_work_are_refused(size: str) -> None:
    with pytest.raises(ConfigError, match="--size"):
        teacher.video_plan(size, 30, 1000, 2)


def test_sound_clicks_once_a_second() -> None:
    samples = memoryview(teacher.one_second_of_sound()).cast("f")
    loud = [k for k in range(teacher.AUDIO_HZ) if abs(samples[k]) > 2 * teacher.TONE_LEVEL]
    assert len(samples) == teacher.AUDIO_HZ
    assert loud[0] < 10
    assert loud[-1] < teacher.CLICK_S * teacher.AUDIO_HZ


def test_two_seconds_into_a_file(tmp_path: Path) -> None:
    target = tmp_path / "lesson.flv"
    options = ["--size", "320x180", "--duration", "2.2", "--keyframe-s", "0.5", "--bitrate-kbps", "300"]
    subprocess.run([*TEACHER, "--to", str(target), *options], check=True, timeout=DEADLINE_S)
    with av.open(str(target)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert (video.codec.name, video.width, video.height) == ("h264", 320, 180)
        assert video.profile == "Constrained Baseline"
        assert (audio.codec.name, audio.rate) == ("aac", 48000)
        keys, stamps, sounds = [], [], 0
        for packet in file.demux():
            sounds += packet.stream is audio and packet.size > 0
            if packet.stream is not video:
                continue
            if packet.is_keyframe:
                keys.append(packet.pts)
            for frame in packet.decode():
                rgb = frame.reformat(format="rgb24")
                plane = rgb.planes[0]
                assert plane.line_size == 320 * 3
                stamps.append(timecode.decode_rgb(bytes(plane), (320, 180), channels=3))
    assert all(stamps)
    numbers = [stamp.frame for stamp in stamps]
    assert numbers == sorted(set(numbers))  # a busy machine may leave some out
    assert 1.5 < (stamps[-1].unix_ms - stamps[0].unix_ms) / 1000 < 2.3
    assert all(450 < b - a < 700 for a, b in zip(keys, keys[1:], strict=False))
    assert sounds > 70


def test_a_silent_peer_cannot_keep_it_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/x"
        with subprocess.Popen([*TEACHER, "--to", address]) as process:
            silent.settimeout(DEADLINE_S)
            with silent.accept()[0]:
                process.send_signal(signal.SIGTERM)
                assert process.wait(5) == -signal.SIGTERM


def test_it_tries_again_until_its_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = subprocess.run(
        [*TEACHER, "--to", f"rtmp://127.0.0.1:{port}/live/topsecret", "--duration", "4"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=True,
    )
    assert done.stderr.count("teacher.lost") >= 2
    assert "Connection refused" in done.stderr
    assert "topsecret" not in done.stderr


def test_wrong_options_end_with_code_2() -> None:
    done = subprocess.run(
        [*TEACHER, "--to", "rtmp://127.0.0.1/x", "--size", "1x1"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2
    assert "--size 1x1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_that_stood_still_a_while_loses_frames_and_not_the_line() -> None:
    options = ["--size", "320x180", "--duration", "6", "--bitrate-kbps", "300"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with subprocess.Popen([*TEACHER, "--to", address, *options], stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                sent = b""
                while len(sent) < 20_000:
                    sent += connection.recv(65536)
                process.send_signal(signal.SIGSTOP)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(1)
                process.send_signal(signal.SIGCONT)
                while chunk := connection.recv(65536):
                    sent += chunk
            assert process.stderr is not None
            assert b"teacher.lost" not in process.stderr.read()
    with av.open(BytesIO(sent)) as lesson:
        times = [p.pts for p in lesson.demux(video=0) if p.pts is not None]
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) > 700
    assert times[-1] - times[0] > 4000
