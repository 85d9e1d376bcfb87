"""Which client meets which format in which scene. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMATS = ("lowLatency", "fmp4", "mpegts")
HLSJS = ("chromium", "firefox", "webkit-steady")
VARIATIONS = ("chromium-stock", "webkit")  # hls.js as it comes; our pages' settings where they fail
PLAYERS = ("webkit-native", "mpv", "vlc", "ffmpeg")
CLIENTS = (*HLSJS, *PLAYERS)
ORIGINS = ("nginx-rtmp", "folder", "byteranges", "encrypted", "relay")
RESTARTS = 4  # in the scene "restarts"
STAND_BY = "two-origins"
SCENES = ("control", "restart", "restarts", "silence", "pathways", "origin", "takeover")

TITLES = {
    "chromium": "hls.js in Chromium",
    "chromium-stock": "hls.js in Chromium, its own defaults",
    "firefox": "hls.js in Firefox ESR",
    "webkit": "hls.js in WebKitGTK, with catch-up",
    "webkit-steady": "hls.js in WebKitGTK, never faster than 1",
    "webkit-native": "WebKitGTK's own HLS (GStreamer)",
    "mpv": "mpv",
    "vlc": "VLC",
    "ffmpeg": "FFmpeg",
    "lowLatency": "low latency",
    "fmp4": "fMP4",
    "mpegts": "MPEG-TS",
    "control": "a file",
    "nginx-rtmp": "nginx-rtmp (MPEG-TS)",
    "folder": "FFmpeg into a folder of nginx (MPEG-TS)",
    "byteranges": "the same, one file with byte ranges (fMP4)",
    "encrypted": "the same, AES-128 (MPEG-TS)",
    "relay": "another relay (low latency)",
    STAND_BY: "low latency, two origins",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: a client on a format (or on another kind of origin), and what happens meanwhile."""

    source: str
    scene: str
    client: str

    @property
    def name(self) -> str:
        """`source/scene/client`, what --only is matched against."""
        return f"{self.source}/{self.scene}/{self.client}"


def cells() -> list[Cell]:
    """Return the whole matrix, in the order of running: first what needs two relays that agree."""
    return [
        *(Cell("control", "control", c) for c in ("chromium", "webkit-native", "mpv", "vlc")),
        *(Cell(f, "pathways", c) for f in FORMATS for c in HLSJS),
        *(Cell(f, "restart", c) for f in FORMATS for c in CLIENTS),
        *(Cell("lowLatency", "restart", c) for c in VARIATIONS),
        *(Cell(f, "restarts", "chromium") for f in FORMATS),
        *(Cell(f, "silence", "chromium") for f in FORMATS),
        *(Cell(o, "origin", c) for o in ORIGINS for c in ("chromium", "ffmpeg")),
        Cell(STAND_BY, "takeover", "chromium"),
    ]


def chosen(only: str) -> list[Cell]:
    """Return the cells whose name a regular expression finds."""
    return [cell for cell in cells() if re.search(only, cell.name)]


def events(cell: Cell) -> tuple[str, ...]:
    """Return the names of the results that a cell brings."""
    return {
        "control": ("control",),
        "restart": ("plain", "restart"),
        "origin": ("plain", "restart"),
        "restarts": ("begin", *(f"restarts {number}" for number in range(1, RESTARTS + 1))),
        "silence": ("begin", "silence"),
        "pathways": ("begin", "move", "kill"),
        "takeover": ("begin", "takeover"),
    }[cell.scene]


def by_source(of: list[Cell]) -> dict[str, list[Cell]]:
    """Group cells by what has to run for them, keeping their order."""
    groups: dict[str, list[Cell]] = {}
    for cell in of:
        groups.setdefault(cell.source, []).append(cell)
    return groups
