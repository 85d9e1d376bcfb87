"""A public class name means one thing in the whole tree, and retired names do not come back.

docs/glossary.md holds the words; this test holds the names that were replaced by them.
"""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from tests.policy.tree import ROOT, texts

PACKAGES = ("airclass/*.py", "relay/*.py", "benchmarks/*.py", "tests/*.py")

RETIRED_MODULES = """
    airclass.cli.desk airclass.domain.attendance airclass.domain.facts airclass.domain.ingest
    airclass.domain.limits airclass.domain.people airclass.domain.tally airclass.domain.view
    airclass.ingest.clock airclass.ingest.door airclass.ingest.glyphs airclass.ingest.http
    airclass.ingest.leash airclass.ingest.origin airclass.ingest.picture airclass.ingest.window
    airclass.io.http airclass.io.hub airclass.io.note airclass.ops.archive airclass.ops.crypt
    airclass.ops.listeners airclass.ops.running airclass.ops.screen airclass.run.folder
    airclass.run.keeper airclass.run.office airclass.web.accounts airclass.web.ask airclass.web.call
    airclass.web.classrooms airclass.web.cluster airclass.web.hooks airclass.web.join airclass.web.line
    airclass.web.live airclass.web.openapi airclass.web.ops airclass.web.pages airclass.web.policy
    airclass.web.problems airclass.web.routes airclass.web.server airclass.web.shapes
    airclass.web.sockets airclass.web.straight airclass.web.words benchmarks.browser
    benchmarks.certificate benchmarks.control benchmarks.crowd benchmarks.endurance benchmarks.fairness
    benchmarks.glass benchmarks.listing benchmarks.loop benchmarks.machine benchmarks.measure
    benchmarks.model benchmarks.nginx benchmarks.origin benchmarks.pace benchmarks.playback
    benchmarks.report benchmarks.scrape benchmarks.servers benchmarks.steering benchmarks.tables
    benchmarks.wire relay.base.lean relay.base.wire relay.core.address relay.core.admission
    relay.core.answer relay.core.cache relay.core.cmcd relay.core.counting relay.core.deadlines
    relay.core.edge relay.core.entries relay.core.fetching relay.core.follow relay.core.glance
    relay.core.ledger relay.core.request relay.core.response relay.core.sequence relay.core.stream
    relay.core.timeline relay.core.waiting relay.core.window relay.io.admin relay.io.blobs
    relay.io.connection relay.io.control relay.io.listeners relay.io.metrics relay.io.node
    relay.io.puller relay.io.reactor relay.io.streams relay.io.tls relay.io.top relay.io.upstream
    tests.builders tests.calm tests.chaos.rig tests.chaos.watch tests.compose.school
    tests.conformance.control tests.conformance.rigs tests.conformance.stage tests.e2e.pages.cast
    tests.e2e.pages.fake tests.e2e.pages.stagehand tests.e2e.school tests.fakes.certificates
    tests.fakes.control tests.fakes.delay tests.fakes.http tests.fakes.master tests.fakes.origin
    tests.fakes.relay tests.ingests tests.integration.network.lab tests.machine.box tests.own_coverage
    tests.postgres tests.processes tests.relay_rig tests.relays tests.transcript
""".split()

RETIRED_CLASSES = """
    Address AlertDesk AnswerReader ArchiveError Ask Asker Blob BlobStore Box Buckets Budget Cache Call
    Change Claims Collected Commanded Conflict Control Cors Cost Count Course Crowd Deadlines Door Edge
    Entry EpochAsk EpochBase Event Facts Fake Fetching Fields Figures Flavour Follower GatheredAnswers
    Get Glance GuardedServer Guest Headers Held Holder Host Hub Ingest InitEntry Intake Job Kind Lab
    Ledger Limit Limits Loop Made Manifest March Master Memory Message Metrics Move Next NodeLook Note
    Open OrderDesk Origins Outlook Pace Paced Pages Parser PartEntry Patience Picture Piece Pins
    PlainSocket Plan Process Reading Register RelayRig Reload Reply Row Run Seat Seating Sequence Server
    Sessions Setting Shape Shelf Site Socket Source Stage Stamp State Status StreamLine Streams
    StrictReader Summary Swap Tally Tasks Taste TokenDesk Told Trouble Try Upstream Verdict View Visit
    Waiting Watch Wheel Why Wire Work
""".split()


def is_test_file(name: str) -> bool:
    """Return whether classes in this file are private to one test module."""
    return name.rpartition("/")[2].startswith("test_")


def classes(sources: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the files that define each public class, test modules left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, text in sources:
        if is_test_file(name):
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return found


def test_a_public_class_name_means_one_thing() -> None:
    assert {name: files for name, files in classes(texts(*PACKAGES)).items() if len(files) > 1} == {}


def test_a_second_class_of_one_name_is_seen() -> None:
    found = classes(
        [("a.py", "class Node: ..."), ("b.py", "class Node: ..."), ("test_c.py", "class Node: ...")]
    )
    assert found == {"Node": ["a.py", "b.py"]}


def test_retired_class_names_do_not_come_back() -> None:
    assert classes(texts(*PACKAGES)).keys() & set(RETIRED_CLASSES) == set()


@pytest.mark.parametrize("module", RETIRED_MODULES)
def test_retired_module_does_not_come_back(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert not path.with_suffix(".py").exists()


def test_no_text_names_a_retired_module() -> None:
    names = {module for module in RETIRED_MODULES if not (ROOT / module.replace(".", "/")).is_dir()}
    paths = {module.replace(".", "/") + ".py" for module in RETIRED_MODULES}
    found = [
        f"{name}: {word}"
        for name, text in texts()
        if name != "tests/policy/test_names.py" and not name.endswith(".json")  # results are dated data
        for word in set(text.replace("`", " ").replace("(", " ").replace(")", " ").split())
        if word.strip(".,:;'\"") in names | paths
    ]
    assert found == []
