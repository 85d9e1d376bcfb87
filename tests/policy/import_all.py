"""Imports the modules named as arguments and prints what they do besides: run by test_imports.py.

The working of installed packages and of the standard library on their behalf is not reported.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EFFECTS = {
    *("socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork"),
    *("os.mkdir", "os.remove", "os.rename", "os.putenv"),
}
STDLIB = os.path.dirname(os.__file__)


def ours(frame: FrameType | None) -> bool:
    """Whether the nearest caller outside the standard library is no installed package."""
    while frame is not None:
        name = frame.f_code.co_filename
        if "site-packages" in name:
            return False
        if not name.startswith((STDLIB, "<frozen")):
            return True
        frame = frame.f_back
    return False


def watch(event: str, args: tuple[object, ...]) -> None:
    """Print the events that an import must not cause."""
    opened = event == "open" and isinstance(args[2], int) and args[2] & WRITE
    if (opened or event in EFFECTS) and ours(sys._getframe(1)):
        print(event, args)


if __name__ == "__main__":
    sys.addaudithook(watch)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    if threading.active_count() > 1:
        print("threads", threading.enumerate())
