"""One engine for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.compose import images
from tests.compose.engine import engine as running_engine
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.compose.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine with all images."""
    with running_engine(ROOT / "build/compose") as made:
        images.make_all(made)
        yield made
