"""Keeping a program running: ready once, started again with pauses, its last words told."""

import os
import signal
from pathlib import Path

import pytest
import trio

from airclass.run.restarting_process import RestartingProcess, keep
from relay.base.errors import StartError

DEADLINE_S = 20


class Starts:
    """Remembers every start, and lets a test wait for the next."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self._more = trio.Event()

    def __call__(self, name: str, pid: int) -> None:
        assert name == "relay"
        self.pids.append(pid)
        self._more.set()
        self._more = trio.Event()

    async def until(self, count: int) -> None:
        while len(self.pids) < count:
            await self._more.wait()


def job(folder: Path, script: str, *, quiet: bool = True, ready: bool = True) -> RestartingProcess:
    return RestartingProcess(
        "relay",
        ("/bin/sh", "-c", script),
        {"READY": str(folder / "ready.json")},
        folder / "ready.json" if ready else None,
        folder / "log" if quiet else None,
    )


READY = """echo '{"url": "http://x"}' >$READY.new; mv $READY.new $READY; """


async def test_it_reports_what_the_ready_file_says(tmp_path: Path) -> None:
    starts = Starts()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            record = await nursery.start(keep, job(tmp_path, READY + "exec sleep 60"), starts)
            assert record == {"url": "http://x"}
            os.kill(starts.pids[0], 0)
            nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(starts.pids[0], 0)


async def test_an_old_ready_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"url": "old"}')
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            record = await nursery.start(keep, job(tmp_path, READY + "exec sleep 60"), Starts())
            assert record == {"url": "http://x"}
            nursery.cancel_scope.cancel()


async def test_a_crashed_one_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts = Starts()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            script = "echo 'my last words'; " + READY + "exec sleep 60"
            await nursery.start(keep, job(tmp_path, script), starts)
            os.kill(starts.pids[0], signal.SIGKILL)
            await starts.until(2)
            nursery.cancel_scope.cancel()
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert told == [
        "child.ended name=relay code=-9, starts again in 0.5 s. Its last words:\nmy last words",
    ]


async def test_the_pauses_grow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts = Starts()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(keep, job(tmp_path, "exit 1", quiet=False, ready=False), starts)
            before_s = trio.current_time()
            await starts.until(3)
            assert trio.current_time() - before_s > 1.4
            nursery.cancel_scope.cancel()
    assert [r.getMessage().rpartition("in ")[2] for r in caplog.records if "ended" in r.message] == [
        "0.5 s.",
        "1.0 s.",
    ]


@pytest.mark.parametrize("script", ["echo 'port 8080 is taken' >&2; exit 2", "kill -9 $$"])
async def test_a_first_start_that_fails_ends_it_all(tmp_path: Path, script: str) -> None:
    starts = Starts()
    with trio.fail_after(DEADLINE_S):
        with pytest.raises(StartError, match="The relay did not start") as caught:
            await keep(job(tmp_path, script), starts)
    assert len(starts.pids) == 1
    assert ("port 8080 is taken" in caught.value.reason) is ("8080" in script)


async def test_without_a_ready_file_it_is_ready_at_once(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            assert await nursery.start(keep, job(tmp_path, "exec sleep 60", ready=False), Starts()) == {}
            nursery.cancel_scope.cancel()
