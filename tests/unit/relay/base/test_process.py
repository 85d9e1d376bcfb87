"""Ready files, children that end with their parent, and a collector that looks at new objects only."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from relay.base.process import GC_YOUNG_OBJECTS, allow_many_files, spare_the_collector, write_ready_file

if TYPE_CHECKING:
    from pathlib import Path

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import os, time
parent = os.getppid()
from relay.base.process import die_with_parent
die_with_parent(parent)
print(os.getpid(), flush=True)
import signal
signal.pause()
'''])
child.wait()
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    try:
        assert allow_many_files() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def test_a_ready_file_appears_whole_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_ready_file(path, {"relay_url": "http://a"})
    write_ready_file(path, {"relay_url": "http://b"})
    assert json.loads(path.read_text()) == {"relay_url": "http://b"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_child_ends_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait(10)
    assert parent.stdout.read() == ""  # the pipe ends when the child has gone too
    parent.stdout.close()


def test_a_child_whose_parent_has_gone_already_ends_at_once() -> None:
    code = "import os; from relay.base.process import die_with_parent; die_with_parent(1); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == ""


def test_the_wish_to_die_is_asked_of_the_kernel() -> None:
    code = (
        "import ctypes, os; from relay.base.process import die_with_parent; die_with_parent(os.getppid());"
        "s = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(s)); print(s.value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert int(done.stdout) == signal.SIGTERM


def test_the_collector_leaves_alone_what_was_there_and_still_collects_what_is_new() -> None:
    threshold = gc.get_threshold()
    old = [object(), []]
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > 1000
        assert not any(seen is old for seen in gc.get_objects())
        assert gc.get_threshold()[0] == GC_YOUNG_OBJECTS
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
