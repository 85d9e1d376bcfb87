"""The API does what its description says: schemathesis against a running master, no failure.

One run per role: a route is described truly for those who may call it and for those who may not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))  # by hand, more
# What breaks the description may also be too large to be read, and 503 tells a student when to ask again.
# The class and the account are real, so that calls come further than 404; whoever deletes asks for another.
CONFIG = """
[parameters]
"path.classroom_id" = "{classroom}"
"path.user_id" = "{user}"

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 429, 503]

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[[operations]]
include-path-regex = "^/(live|steering)/"
parameters = {{ "path.classroom_id" = "{classroom}", "query.token" = "{token}" }}

[[operations]]
include-method = "DELETE"
parameters = {{ "path.classroom_id" = "nosuch", "path.user_id" = "nosuch" }}
"""
WHOLE_S = 240.0
SEED = 20261123


@pytest.mark.parametrize("role", ["admin", "teacher", "monitor", "student"])
async def test_the_description_is_true(tmp_path: Path, role: str) -> None:
    async with running_master(tmp_path, within_s=WHOLE_S) as control:
        relay = await control.node(capacity=100_000)
        made = await control.classroom()
        relay.states[made["id"]] = "live"
        await relay.beat()
        teacher = await control.teacher("Lee")
        student = (await control.join(made["code"])).json()["token"]
        credentials = {
            "admin": control.admin,
            "teacher": teacher,
            "monitor": control.monitor,
            "student": {"Authorization": f"Bearer {student}"},
        }[role]
        config = CONFIG.format(classroom=made["id"], user="ulee", token=student)
        (tmp_path / "schemathesis.toml").write_text(config)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{control.url}/api/openapi.json"),
            *("-H", f"Authorization: {credentials['Authorization']}"),
            *("--checks", "all"),
            # The credentials above go with every request: who may do what is tests/unit/.../test_policy.py.
            *("--exclude-checks", "ignored_auth"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
            *("--seed", str(SEED), "--generation-database", "none"),
        ]
        with trio.fail_after(WHOLE_S - 10):
            done = await trio.run_process(
                command, check=False, capture_stdout=True, stderr=subprocess.STDOUT, cwd=tmp_path
            )
        if role == "student":
            for path in (f"/steering/{made['id']}", f"/live/{made['id']}/index.m3u8"):
                answer = await control.call("GET", f"{path}?token={student}")
                assert answer.status_code == 200, "schemathesis has checked the answers of a live class"
        report = done.stdout.decode(errors="replace")
        failures = report[report.find("FAILURES") :] if "FAILURES" in report else report
        assert done.returncode == 0, failures[:8000]
        assert "Tested: " in report
