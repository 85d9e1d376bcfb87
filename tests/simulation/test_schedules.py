"""Random schedules hold every invariant; known faults do not return; a rule switched off is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import history
from tests.simulation.programs import generate, read
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.shrink import shrink
from tests.simulation.switches import switched_off
from tests.simulation.world import run

ROOT = Path(__file__).resolve().parents[2]
FIXED_SEED = 1
SCHEDULES = 1000
SEEDS_UNTIL_RED = 200
# The rules of the checker that notice what is switched off.
NOTICED = {
    "epoch maximum": {"numbers-fall", "frozen"},
    "revocation push": {"kicked-is-refused", "ended-stays-ended"},
    "witness rule": {"shared-fault-excludes", "moved-without-reason", "healthy-is-back"},
    "seat confirmation": {"counted-once"},
}


def test_random_schedules_hold_every_settled_invariant() -> None:
    seeds = f"{FIXED_SEED}:{SCHEDULES}"
    command = [sys.executable, "-m", "tests.simulation", "run", "--settled", "--seeds", seeds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_that_was_found_does_not_return(name: str) -> None:
    assert run(SCENARIOS[name]).violation is None


@pytest.mark.parametrize("name", NOTICED)
def test_a_rule_that_is_switched_off_is_noticed(name: str) -> None:
    rules: set[str] = set()
    with switched_off(name):
        for seed in range(SEEDS_UNTIL_RED):
            violation = run(generate(seed)).violation
            if violation is not None:
                rules.add(violation.rule)
            if rules & NOTICED[name]:
                break
    assert rules & NOTICED[name]


def test_a_seed_has_one_history() -> None:
    first, second = (run(generate(7), keep=True).events for _ in range(2))
    assert first
    assert first == second


def test_programs_are_as_large_as_promised() -> None:
    for seed in range(200):
        program = generate(seed)
        assert program.length_s >= 60
        assert program.relays >= 3
        assert program.students >= 20
        assert program.streams >= 2
        assert len(program.steps) >= 3
        assert read(program.text()) == program


def test_a_written_history_is_judged_as_the_run_was(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        with switched_off("seat confirmation" if name == "bad" else "nothing"):
            outcome = run(generate(0), keep=True)
        assert outcome.events is not None
        history.write(tmp_path / name, outcome.events)
        count, violation = history.check(tmp_path / name)
        assert count == len(outcome.events)
        assert (violation and violation.rule) == (outcome.violation and outcome.violation.rule)
        assert (violation is None) == (name == "good")


def test_shrinking_keeps_the_rule_and_drops_what_does_not_matter() -> None:
    with switched_off("seat confirmation"):
        violation = run(generate(0)).violation
        assert violation is not None
        small = shrink(generate(0), violation.rule)
        again = run(small).violation
    assert again is not None
    assert again.rule == violation.rule
    assert len(small.steps) <= 1 < len(generate(0).steps)
    assert small.students == 1


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    history.write(
        file,
        [
            {"at_s": 0.0, "event": "node", "node": "n1", "capacity": 5},
            _listed(1.0, 12),
            _listed(2.0, 11),
        ],
    )
    command = [sys.executable, "-m", "tests.simulation", "check", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "numbers-fall: at 2.00 s n1 lists 11 (0) of c1 after 12 (0)" in done.stdout


def _listed(at_s: float, msn: int) -> dict[str, object]:
    return {
        "at_s": at_s,
        "event": "listed",
        "node": "n1",
        "stream": "c1",
        "epoch": "e",
        "msn": msn,
        "discontinuity": 0,
    }
