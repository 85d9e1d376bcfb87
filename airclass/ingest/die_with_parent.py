"""Run another program that the kernel kills when the parent process ends.

Run by path, before anything is imported: `python -I -S die_with_parent.py PARENT_PID PROGRAM [ARGUMENTS]`.
The parent must start it from its main thread: the kernel sends the signal when the starting thread ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def command(*program: str) -> list[str]:
    """Return the command line of a program that ends with this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *program]


def main() -> None:
    """Ask for the signal, then exec the program; exit if the parent has already ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent_pid, *program = sys.argv[1:]
    if os.getppid() == int(parent_pid):
        os.execv(program[0], program)  # noqa: S606 - that is the purpose


if __name__ == "__main__":
    main()
