"""Leave out what a library loads only for looks: a relay's memory is promised."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without(name: str) -> Iterator[None]:
    """Let a block's imports do without an optional module that is not loaded yet; later ones find it."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's own word for "not there"
    try:
        yield
    finally:
        del sys.modules[name]
