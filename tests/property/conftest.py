"""How long the fuzzers run: FUZZ_SECONDS=600 for a long look, a few seconds each otherwise."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

DEFAULT_FUZZ_SECONDS = 10.0

# a busy machine is no fault of a test
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


@pytest.fixture
def fuzz_seconds() -> float:
    """Seconds for one fuzzer."""
    return float(os.environ.get("FUZZ_SECONDS", DEFAULT_FUZZ_SECONDS))
