"""Becomes another program that the kernel kills when our parent ends, however that ends.

Run by path, before anything is imported: `python -I -S leash.py PARENT_PID PROGRAM [ARGUMENTS]`. The
parent starts it from its main thread, for the kernel watches the thread that started us.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def command(*program: str) -> list[str]:
    """Return the command line that runs a program on this process's leash."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def main() -> None:
    """Put the leash on, and become the program; a parent that is gone already ends it here."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent_pid, *program = sys.argv[1:]
    if os.getppid() == int(parent_pid):
        os.execv(program[0], program)  # noqa: S606 - that is the purpose


if __name__ == "__main__":
    main()
