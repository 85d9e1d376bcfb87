"""Joining and playing in Firefox ESR, on the real pages, master and relays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browsers.scenario import a_student_joins_and_a_killed_relay_stops_nothing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timing
async def test_a_student_joins_and_a_killed_relay_stops_nothing(tmp_path: Path) -> None:
    await a_student_joins_and_a_killed_relay_stops_nothing("firefox", tmp_path)
