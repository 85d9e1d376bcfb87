"""A synthetic teacher: publishes a picture with a burned-in clock and a ticking tone by RTMP.

Runs in a process of its own, because PyAV before 19 freezes the whole process while it opens an
output to a silent peer; for the same reason the default action of signals stays in force, so that
SIGTERM ends it even then. Does not receive or check anything.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cyclopts
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame

from airclass.ingest.test_pattern.picture import PatternPicture
from airclass.ingest.test_pattern.timecode import Timecode
from relay.base import logs, settings
from relay.base.errors import AirclassError, ConfigError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

log = logging.getLogger("airclass.ingest.teacher")  # it is also run as __main__

AUDIO_HZ = 48_000
AUDIO_SAMPLES = 1024
AUDIO_BPS = 96_000
TONE_HZ = 440
TONE_LEVEL = 0.08
CLICK_HZ = 1500
CLICK_S = 0.03
CLICK_LEVEL = 0.6
MAX_LATE_FRAMES = 3
MAX_LATE_S = 10.0
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 5.0
SIZE_STEP = 16


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What the teacher sends: picture in pixels, frames a second, bits a second, key frame distance."""

    width: int
    height: int
    fps: int
    video_bps: int
    keyframe_s: float


class _Late(AirclassError):
    """This machine fell too far behind to go on in real time."""


def video_plan(size: str, fps: int, bitrate_kbps: int, keyframe_s: float) -> VideoPlan:
    """Return the checked lesson; `size` is WIDTHxHEIGHT, the width a multiple of 16."""
    problems = []
    width_text, _, height_text = size.partition("x")
    width, height = (int(text) if text.isdecimal() else 0 for text in (width_text, height_text))
    if not (320 <= width <= 3840 and 180 <= height <= 2160) or width % SIZE_STEP or height % 2:
        problems.append(f"--size {size}: give WIDTHxHEIGHT, 320x180 to 3840x2160, the width a multiple of 16")
    if not 1 <= fps <= 60:
        problems.append(f"--fps {fps}: give 1 to 60 frames a second")
    if not 100 <= bitrate_kbps <= 50_000:
        problems.append(f"--bitrate-kbps {bitrate_kbps}: give 100 to 50000 kilobits a second")
    if not 0.2 <= keyframe_s <= 20:
        problems.append(f"--keyframe-s {keyframe_s}: give 0.2 to 20 seconds")
    if problems:
        raise ConfigError(problems)
    return VideoPlan(width, height, fps, bitrate_kbps * 1000, keyframe_s)


def one_second_of_sound() -> bytes:
    """Return 48,000 float samples: a steady tone, and a click at the start of the second."""
    samples = array("f", bytes(4 * AUDIO_HZ))
    for k in range(AUDIO_HZ):
        t = k / AUDIO_HZ
        click = CLICK_LEVEL * math.sin(2 * math.pi * CLICK_HZ * t) if t < CLICK_S else 0.0
        samples[k] = TONE_LEVEL * math.sin(2 * math.pi * TONE_HZ * t) + click
    return samples.tobytes()


class PublisherSession:
    """One publication: encoders, the picture that is drawn in place, and what was sent so far."""

    def __init__(self, container: OutputContainer, plan: VideoPlan) -> None:
        self._container, self._plan = container, plan
        self._video = _video_stream(container, plan)
        self._audio = _audio_stream(container)
        self._frame = VideoFrame(plan.width, plan.height, "yuv420p")
        self._picture = PatternPicture([memoryview(p) for p in self._frame.planes], plan.width, plan.height)
        self._sound = one_second_of_sound() * 2
        self._samples_sent = 0
        self._phase = round(time.time() % 1 * AUDIO_HZ)  # the tick comes with the clock's full second
        self._last_key = -1

    def run(self, until_s: float) -> None:
        """Send in real time until the monotonic clock shows `until_s`; OSError when the line breaks.

        A machine that is too slow for a while loses frames, not the line.
        """
        start_s = time.monotonic()
        number = 0
        while (now_s := time.monotonic()) < until_s:
            late_s = now_s - start_s - number / self._plan.fps
            if late_s < 0:
                time.sleep(-late_s)
            elif late_s > MAX_LATE_S:
                raise _Late("this machine stood still: the lesson begins anew")
            elif late_s * self._plan.fps > MAX_LATE_FRAMES:
                number = int((now_s - start_s) * self._plan.fps)
            self.step(number)
            number += 1

    def step(self, number: int) -> None:
        """Send frame `number`, which shows the time, and the sound that goes with it."""
        self._send_picture(number)
        self._send_sound((number + 1) / self._plan.fps)

    def _send_picture(self, number: int) -> None:
        self._picture.draw(Timecode(time.time_ns() // 1_000_000, number))
        key = int(number / (self._plan.keyframe_s * self._plan.fps))
        self._frame.pts = number
        self._frame.pict_type = PictureType.I if key != self._last_key else PictureType.NONE
        self._last_key = key
        for packet in self._video.encode(self._frame):
            self._container.mux(packet)

    def _send_sound(self, until_s: float) -> None:
        while self._samples_sent < until_s * AUDIO_HZ:
            at = (self._phase + self._samples_sent) % AUDIO_HZ * 4
            chunk = self._sound[at : at + 4 * AUDIO_SAMPLES]
            frame = AudioFrame("fltp", "stereo", AUDIO_SAMPLES)
            for plane in frame.planes:
                plane.update(chunk)
            frame.sample_rate = AUDIO_HZ
            frame.pts = self._samples_sent
            frame.time_base = Fraction(1, AUDIO_HZ)
            self._samples_sent += AUDIO_SAMPLES
            for packet in self._audio.encode(frame):
                self._container.mux(packet)


def _video_stream(container: OutputContainer, plan: VideoPlan) -> VideoStream:
    stream = container.add_stream("libx264", rate=plan.fps)
    stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, plan.fps)
    stream.codec_context.gop_size = plan.fps * 60  # key frames are asked for one by one
    kbps = plan.video_bps // 1000
    stream.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "threads": "1",
        "forced-idr": "1",
        # Constant bit rate with filler, as OBS sends it: so a test's megabits are really on the wire.
        "x264-params": f"nal-hrd=cbr:bitrate={kbps}:vbv-maxrate={kbps}:vbv-bufsize={kbps}:scenecut=0",
    }
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=AUDIO_HZ, layout="stereo")
    stream.bit_rate = AUDIO_BPS
    return stream


def _publish(to: str, plan: VideoPlan, until_s: float) -> None:
    options = {"flvflags": "no_duration_filesize"}
    with av.open(to, "w", format="flv", options=options) as container:
        session = PublisherSession(container, plan)
        container.start_encoding()
        log.info("teacher.live %dx%d %d fps", plan.width, plan.height, plan.fps)
        session.run(until_s)


def teach(
    *,
    to: str = "",
    size: str = "1280x720",
    fps: int = 30,
    bitrate_kbps: int = 2000,
    keyframe_s: float = 2.0,
    drop_after: float | None = None,
    return_after: float = 5.0,
    drops: int = 1,
    duration: float | None = None,
) -> None:
    """Publish a synthetic lesson by RTMP: moving picture, burned-in UTC clock, ticking tone.

    Goes on until it is stopped, and connects again by itself when the line breaks.

    Parameters
    ----------
    to
        RTMP address with the stream key, as `airclass classroom add` prints it. `-` reads it from standard
        input; without it, the environment's TEACH_TO counts. Every user of a machine can see the arguments
        of its processes: on a shared machine give the key in one of these two ways.
    size
        Picture in pixels, WIDTHxHEIGHT; the width is a multiple of 16.
    fps
        Frames a second.
    bitrate_kbps
        Video bit rate in kilobits a second, constant.
    keyframe_s
        Seconds between two key frames.
    drop_after
        Break the line after so many seconds of publishing (for tests).
    return_after
        Come back so many seconds after such a break.
    drops
        How many such breaks; 0 means again and again.
    duration
        End after so many seconds.
    """
    # Frozen inside FFmpeg, a handler of Python's would never run: the default action ends us at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    plan = video_plan(size, fps, bitrate_kbps, keyframe_s)
    target = _target(to)
    end_s = time.monotonic() + duration if duration else math.inf
    dropped, retry_s = 0, RETRY_FIRST_S
    while time.monotonic() < end_s:
        started_s = time.monotonic()
        drop = drop_after is not None and (not drops or dropped < drops)
        until_s = min(end_s, started_s + (drop_after or 0.0)) if drop else end_s
        try:
            _publish(target, plan, until_s)
        except (OSError, _Late) as exc:  # every error of FFmpeg is an OSError
            retry_s = RETRY_FIRST_S if time.monotonic() - started_s > RETRY_MAX_S else retry_s
            log.warning("teacher.lost next try in %.2f s: %s", retry_s, _reason(exc))
            time.sleep(min(retry_s, max(0.0, end_s - time.monotonic())))
            retry_s = min(2 * retry_s, RETRY_MAX_S)
        else:
            if drop and time.monotonic() < end_s:
                dropped += 1
                log.info("teacher.dropped on purpose, back in %.1f s", return_after)
                time.sleep(return_after)


def _target(to: str) -> str:
    target = sys.stdin.readline().strip() if to == "-" else to or settings.environment().get("TEACH_TO", "")
    if not target:
        raise ConfigError(["Say where to publish: --to URL, --to - (standard input), or TEACH_TO."])
    return target


def _reason(exc: OSError | AirclassError) -> str:
    # FFmpeg's own text would repeat the address, and with it the key.
    return exc.reason if isinstance(exc, AirclassError) else exc.strerror or type(exc).__name__


def main() -> None:
    """Run `teach` with the command line of this process; exit code 2 for arguments that cannot work."""
    try:
        logs.set_up_by(settings.environment())
        cyclopts.run(teach)
    except AirclassError as exc:
        sys.exit(_fail(exc.reason))


def _fail(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 2


if __name__ == "__main__":
    main()
