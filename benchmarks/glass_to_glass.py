"""`python -m benchmarks.glass_to_glass`: from the teacher's picture to the student's, in a real browser.

Starts the demo on loopback, joins by code in Chromium, reads the clock that is burned into the
picture ten times a second at most, and prints the distribution. Teacher and student share one
clock, so the figure is glass to glass but for camera and screen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.player.browser import BrowserStudent, chromium
from benchmarks.reports.machine import describe
from relay.base.errors import StartError

READY_S = 60.0
POLL_S = 0.1
END_S = 10.0


def main() -> int:
    """Run the measurement; returns 0 when the student saw no stall."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.glass_to_glass", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch (default: 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "demo.json"
        demo = subprocess.Popen(
            [sys.executable, "-m", "airclass.cli.app", "demo", "--ports", "0", "--ready-file", str(ready)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            addresses = wait_ready(demo, ready)
            with chromium() as browser:
                seen = BrowserStudent(browser, addresses["student_url"]).watch(args.seconds)
        finally:
            demo.terminate()
            demo.wait(END_S)
    glass_ms = sorted(seen.glass_ms)
    result = {
        "machine": describe(),
        "ingest": addresses["ingest"],
        "watched_s": round(seen.advanced_s, 1),
        "first_frame_s": round(seen.first_frame_s, 3),
        "glass_to_glass_ms": {
            "p50": round(statistics.median(glass_ms)),
            "p95": glass_ms[int(0.95 * (len(glass_ms) - 1))],
            "max": glass_ms[-1],
            "samples": len(glass_ms),
        },
        "stalls_ms": list(seen.stalls_ms),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 1 if seen.stalls_ms else 0


def wait_ready(demo: subprocess.Popen[bytes], file: Path) -> dict[str, str]:
    """Return the addresses of a demo that has started; StartError if it does not."""
    until_s = time.monotonic() + READY_S
    while not file.exists():
        if demo.poll() is not None or time.monotonic() > until_s:
            raise StartError("the demo did not start: run `airclass demo` to see why")
        time.sleep(POLL_S)
    addresses: dict[str, str] = json.loads(file.read_text())
    return addresses


if __name__ == "__main__":
    sys.exit(main())
