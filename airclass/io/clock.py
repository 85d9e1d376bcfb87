"""The two clocks: one that only goes forward (leases, silence), one that people read (tokens, logs)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """`now_s` is monotonic, `wall_s` is Unix time; both in seconds."""

    now_s: Callable[[], float] = trio.current_time
    wall_s: Callable[[], float] = time.time
