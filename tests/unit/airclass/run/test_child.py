"""One child process: where its output goes, how it is waited for, and that it always ends."""

import os
import signal
from pathlib import Path

import pytest
import trio

from airclass.run.child import FIRST_WORD_S, Child
from relay.base.errors import StartError

DEADLINE_S = 20


def shell(script: str, output: Path | None = None) -> Child:
    return Child(["/bin/sh", "-c", script], {"GREETING": "hello"}, output)


async def test_environment_output_and_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with trio.fail_after(DEADLINE_S):
        child = shell('echo "$GREETING"; echo oops >&2; exit 3', log)
        assert await child.wait() == 3
        await child.close()
    assert log.read_text() == "hello\noops\n"


async def test_it_is_in_a_group_of_its_own() -> None:
    with trio.fail_after(DEADLINE_S):
        child = shell("sleep 60")
        try:
            assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        finally:
            await child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_asked_to_end_it_may_tidy_up(tmp_path: Path) -> None:
    note = tmp_path / "note"
    ready = tmp_path / "ready"
    with trio.fail_after(DEADLINE_S):
        child = shell(f"trap 'echo bye >{note}; exit 0' TERM; touch {ready}; while :; do sleep 0.05; done")
        while not ready.exists():
            await trio.sleep(0.02)
        before_s = trio.current_time()
        await child.close()
        assert trio.current_time() - before_s < FIRST_WORD_S
    assert note.read_text() == "bye\n"


async def test_the_second_word_ends_one_that_drains_and_kill_one_that_is_deaf(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        draining, deaf = tmp_path / "draining", tmp_path / "deaf"
        patient = shell(
            f"n=0; trap 'n=$((n+1)); test $n -gt 1 && exit 5' TERM; touch {draining};"
            " while :; do sleep 0.05; done"
        )
        stubborn = shell(f"trap '' TERM; touch {deaf}; while :; do sleep 0.05; done")
        while not (draining.exists() and deaf.exists()):
            await trio.sleep(0.02)
        before_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(patient.close)
            nursery.start_soon(stubborn.close)
        assert trio.current_time() - before_s < 5
    assert patient.returncode == 5
    assert stubborn.returncode == -signal.SIGKILL


async def test_it_is_ended_even_in_a_cancelled_task() -> None:
    with trio.fail_after(DEADLINE_S):
        child = shell("sleep 60")
        with trio.CancelScope() as scope:
            scope.cancel()
            await child.close()
    assert child.returncode == -signal.SIGTERM


async def test_a_program_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="log cannot be written"):
        shell("true", tmp_path / "none" / "log")
