"""Fixtures for all tests, and the choice of the ingests that they run against (--ingest)."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.harness import ingests, quiet_machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.ingests import IngestHarness


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --ingest: naming some runs only the tests that take an ingest, against just those."""
    parser.addoption(
        "--ingest",
        default=None,
        help=f"comma-separated, of {', '.join(ingests.KINDS)} (default {ingests.DEFAULT_KINDS}); "
        "mediamtx needs MEDIAMTX_PATH",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an ingest that cannot be run, rather than skip it; take SIGINT even if it came ignored.

    A shell starts background jobs with SIGINT ignored, and children inherit that: Ctrl-C would reach none of
    the programs that tests interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    kinds = _kinds(config)
    if unknown := set(kinds) - set(ingests.KINDS):
        raise pytest.UsageError(f"--ingest {', '.join(unknown)}: choose of {', '.join(ingests.KINDS)}")
    if "mediamtx" in kinds and not os.access(os.environ.get("MEDIAMTX_PATH", ""), os.X_OK):
        raise pytest.UsageError("set MEDIAMTX_PATH to a MediaMTX binary, version 1.20 or newer")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes an ingest once for each chosen kind."""
    if "ingest_kind" in metafunc.fixturenames:
        metafunc.parametrize("ingest_kind", _kinds(metafunc.config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --ingest, leave out what takes no ingest."""
    if config.getoption("--ingest") is None:
        return
    taking = [item for item in items if "ingest_kind" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in taking])
    items[:] = taking


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Judge what is marked `timing` by tests.harness.quiet_machine; everything else as usual."""
    if item.get_closest_marker("timing") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in quiet_machine.judge(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _kinds(config: pytest.Config) -> list[str]:
    return (config.getoption("--ingest") or ingests.DEFAULT_KINDS).split(",")


@pytest.fixture
def variant() -> str:
    """The kind of HLS that the ingest makes; a test may parametrise it: lowLatency, fmp4, mpegts."""
    return "lowLatency"


@pytest.fixture
def ingest_ready_file(tmp_path: Path) -> Path:
    """Where the ingest tells its addresses."""
    return tmp_path / "ingest.json"


@pytest.fixture
def ingest_command(ingest_kind: str, variant: str, ingest_ready_file: Path) -> list[str]:
    """The command line of the ingest; builds the Go one first."""
    return ingests.command(ingest_kind, variant, ingest_ready_file)


@pytest.fixture
async def ingest(
    ingest_kind: str, ingest_command: list[str], ingest_ready_file: Path
) -> AsyncIterator[IngestHarness]:
    """A running ingest that nobody publishes to yet."""
    async with ingests.ingest_running(ingest_command, ingest_kind, ingest_ready_file) as running:
        yield running
