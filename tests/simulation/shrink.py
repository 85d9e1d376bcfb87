"""Finds a short program that breaks the same invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.programs import shorter
from tests.simulation.world import run

if TYPE_CHECKING:
    from tests.simulation.programs import Program

MAX_RUNS = 600


def shrink(program: Program, rule: str) -> Program:
    """Return the shortest program found that breaks the rule: steps, actors and times are taken away."""
    runs = 0
    progress = True
    while progress and runs < MAX_RUNS:
        progress = False
        for candidate in shorter(program):
            runs += 1
            violation = run(candidate).violation
            if violation is not None and violation.rule == rule:
                program, progress = candidate, True
                break
            if runs >= MAX_RUNS:
                break
    return program
