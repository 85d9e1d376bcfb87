"""The control: a file whose initialization section changes in the middle, as FFmpeg makes it, no relay.

It tells what a player cannot do from what the relay does wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.conformance.setups import SIZES

if TYPE_CHECKING:
    from pathlib import Path

HALF_S = 8
NAME = "control/index.m3u8"


async def make(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Return the files by name, with their types, as the stage serves them."""
    files: dict[str, tuple[bytes, str]] = {}
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
    for number, size in enumerate(SIZES):
        half = folder / f"control{number}"
        half.mkdir()
        await _encode(half, size)
        lines += ["#EXT-X-DISCONTINUITY"] * bool(number)
        lines.append(f'#EXT-X-MAP:URI="{number}-init.mp4"')
        for line in (half / "index.m3u8").read_text().splitlines():
            if line.startswith("#EXTINF"):
                lines.append(line)
            elif line and not line.startswith("#"):
                lines.append(f"{number}-{line}")
        for path in (*half.glob("*.mp4"), *half.glob("*.m4s")):
            files[f"control/{number}-{path.name}"] = (path.read_bytes(), "video/mp4")
    text = "\n".join([*lines, "#EXT-X-ENDLIST", ""])
    files[NAME] = (text.encode(), "application/vnd.apple.mpegurl")
    return files


async def _encode(folder: Path, size: str) -> None:
    picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=15"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    coded = ["-t", str(HALF_S), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30"]
    hls = ["-c:a", "aac", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]
    fmp4 = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"]
    command = [
        "ffmpeg",
        "-loglevel",
        "error",
        *picture,
        *sound,
        *coded,
        *hls,
        *fmp4,
        str(folder / "index.m3u8"),
    ]
    await trio.run_process(command)
