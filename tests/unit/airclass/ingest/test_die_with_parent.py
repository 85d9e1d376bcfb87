"""A program ends with its parent, even by `kill -9`, and runs unchanged otherwise."""

import os
import select
import subprocess
import sys

from airclass.ingest import die_with_parent

DEADLINE_S = 10

HOLDER = f"""
import subprocess, sys
sys.path.insert(0, {os.getcwd()!r})
from airclass.ingest import die_with_parent
child = subprocess.Popen(die_with_parent.command("/bin/sleep", "60"), stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_it_becomes_the_program() -> None:
    done = subprocess.run(
        die_with_parent.command("/bin/echo", "hello", "there"), capture_output=True, check=True
    )
    assert done.stdout == b"hello there\n"


def test_the_exit_code_is_the_programs() -> None:
    assert subprocess.run(die_with_parent.command("/bin/sh", "-c", "exit 7"), check=False).returncode == 7


def test_kill_9_of_the_holder_ends_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        pidfd = os.pidfd_open(int(holder.stdout.readline()))
        try:
            holder.kill()
            ended, _, _ = select.select([pidfd], [], [], DEADLINE_S)
        finally:
            os.close(pidfd)
    assert ended


def test_nothing_starts_for_a_holder_that_is_gone() -> None:
    command = die_with_parent.command("/bin/echo", "too late")
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""
