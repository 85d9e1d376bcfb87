"""Hostile origins: mutations of real playlists, over one stream, give a list or a named error."""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path

from relay.base.errors import OriginError
from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.origin.playlist_poller import PlaylistPoller
from relay.core.origin.sequence_repair import SequenceRepair
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, Variant, parse
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.stream import Stream
from tests.harness.builders import WALL_S, MemoryBody, data

DATA = Path(__file__).parents[1] / "data" / "playlists"
REAL = [path.read_text() for path in sorted(DATA.glob("*.m3u8"))]
NUMBERS = ["0", "-1", "1", "7", "9" * 18, "9" * 400, "0.00001", "1e400", "nan", "4294967296", "99999999"]
LINES = [
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-DISCONTINUITY-SEQUENCE:5",
    "#EXT-X-GAP",
    "#EXT-X-ENDLIST",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"",
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-MAP:URI=\"other.mp4\",BYTERANGE=\"10@0\"",
    "#EXT-X-BYTERANGE:10@5",
    "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z",
    "#EXT-X-PART:DURATION=0.5,URI=\"p.mp4\",GAP=YES",
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.mp4\"",
    "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"g\",NAME=\"n\",URI=\"back.m3u8\"",
    "#EXT-X-STREAM-INF:BANDWIDTH=1",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "../../../etc/passwd",
    "\x00",
    "s.mp4",
]  # fmt: skip
INDEX = MultivariantPlaylist((Variant("v.m3u8", (("BANDWIDTH", "1"),)),))


def mutate(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2:
                lines.insert(at, chance.choice(LINES))
            case 3:
                lines[at] = re.sub(r"\d+", lambda _: chance.choice(NUMBERS), lines[at], count=1)
            case _:
                at = min(at, len(lines) - 1)
                lines[at], lines[0] = lines[0], lines[at]
        lines = lines or [""]
    return "\n".join(lines)


class Relay:
    """One stream that survives everything."""

    def __init__(self) -> None:
        self.stream = Stream("class1", MemoryBody, budget=MemoryBudget(20_000))
        self.stream.describe(INDEX, "http://origin.example/index.m3u8")
        self.sessions = EpochTracker(self.stream.timeline)
        self.counting = SequenceRepair()
        self.follower = PlaylistPoller(100.0)
        self.now_s = 100.0

    def take(self, text: str, chance: random.Random) -> None:
        """Do what the puller does with an answer."""
        listed = parse(text)
        if not isinstance(listed, MediaPlaylist):
            self.stream.describe(listed, "http://origin.example/index.m3u8")
            self.stream.multivariant_text()
            return
        window = self.stream.windows["v0"]
        listed = self.counting.counted(listed)
        self.follower.received(listed, self.now_s, self.now_s)
        assert self.follower.next_poll(self.now_s).at_s >= self.now_s
        if not (any(not s.gap for s in listed.segments) or listed.open_segment):
            return
        timeline = self.stream.timeline
        key = self.sessions.key(listed)
        epoch = timeline.known(key)
        if epoch is None:
            self.stream.end_session()
            epoch = timeline.adopt(timeline.decide_alone(timeline.request(key, first_msn(listed), listed)))
        live_edge = window.live_edge.last_msn
        window.base_url = "http://origin.example/live/"
        window.update(listed, epoch, self.now_s, WALL_S)
        for _ in range(50):
            fetch = window.wanted(self.now_s)
            if fetch is None:
                break
            if chance.random() < 0.2:
                window.failed(fetch, self.now_s, gone=chance.random() < 0.5)
            else:
                window.arrived(fetch, data(fetch.uri[:50], 50), self.now_s)
        self.now_s += chance.choice([0.1, 1.0, 20.0])
        window.tick(self.now_s)
        assert window.live_edge.last_msn >= live_edge
        if window.ready:
            again = parse(self.stream.media_text(window))
            assert isinstance(again, MediaPlaylist)


def test_hostile_playlists_for_as_long_as_was_asked(fuzz_seconds: float) -> None:
    """FUZZ_SECONDS=600 for a long look."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    until_s = time.monotonic() + fuzz_seconds
    rounds, refused = 0, 0
    while time.monotonic() < until_s:
        relay, history = Relay(), []
        for _ in range(12):
            rounds += 1
            history.append(mutate(chance.choice(REAL), chance))
            try:
                relay.take(history[-1], chance)
            except OriginError:
                refused += 1
            except Exception as exc:
                raise AssertionError(f"seed {seed}, round {rounds}:\n" + "\n----\n".join(history)) from exc
    assert 0 < refused < rounds
    sys.stdout.write(f"fuzzed {rounds} playlists, {refused} of them refused\n")
