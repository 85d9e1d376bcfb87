"""One engine for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.compose import images
from tests.compose.engine import engine as running_engine
from tests.harness.transcript import keep
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.compose.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine with all images; what was typed is in build/by-hand/compose.md at the end."""
    with running_engine(ROOT / "build/compose") as made:
        images.make_all(made)
        yield made
        keep("compose", "\n".join(made.transcript))


@pytest.fixture(autouse=True)
def _headline(request: pytest.FixtureRequest, engine: Engine) -> None:
    """Name the test in what is kept."""
    words = request.node.name.removeprefix("test_").replace("_", " ")
    engine.transcript.append(f"### {words.capitalize()}\n")
