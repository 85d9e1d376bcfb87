"""What a student's browser has to download: small, and nothing of the teacher's or operator's."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.e2e.pages import harness

MOST_STUDENT_BYTES = 250_000  # gzip, with hls.js


def loaded_by(page: str) -> set[str]:
    """Return every file that a page may ever load, its lazy parts as well."""
    manifest: dict[str, dict[str, Any]] = json.loads((harness.PAGES / ".vite" / "manifest.json").read_text())
    files, todo, seen = {page}, [page], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        chunk = manifest[name]
        files |= {chunk["file"], *chunk.get("css", []), *chunk.get("assets", [])}
        todo += chunk.get("imports", []) + chunk.get("dynamicImports", [])
    return files


def test_the_student_page_is_small() -> None:
    bodies = [(harness.PAGES / name).read_bytes() for name in loaded_by("index.html")]
    total = sum(len(gzip.compress(body, 9)) for body in bodies)
    assert total <= MOST_STUDENT_BYTES, f"{total} bytes"


def test_students_get_no_staff_code() -> None:
    text = "".join((harness.PAGES / name).read_text(errors="replace") for name in loaded_by("index.html"))
    for word in (
        "/cluster/drain",
        "/cluster/nodes",
        "/api/classrooms",
        "/api/users",
        "/ws/monitor",
        "/ws/teacher",
        "uPlot",
    ):
        assert word not in text, word


def test_pages_hold_no_script_style_or_foreign_address() -> None:
    for name in ("index", "teach", "admin", "login"):
        html = (harness.PAGES / f"{name}.html").read_text()
        assert "<style" not in html
        assert "style=" not in html
        assert html.count("<script") == html.count('<script type="module" crossorigin src="/assets/')
        assert "http" not in html
