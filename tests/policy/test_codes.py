"""What the master says as a code, the pages put into words: both name the same codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from airclass.domain.advice import NextStep
from airclass.domain.health import NodeStatus, ReasonCode
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from enum import StrEnum

TYPES = (ROOT / "frontend/src/api/types.ts").read_text()


@pytest.mark.parametrize(
    ("codes", "type_name"), [(NodeStatus, "NodeStatus"), (ReasonCode, "ReasonCode"), (NextStep, "NextStep")]
)
def test_pages_and_master_know_the_same_codes(codes: type[StrEnum], type_name: str) -> None:
    declared = re.search(rf"type {type_name} =([^;]+);", TYPES)
    assert declared is not None
    assert set(re.findall(r"'([^']*)'", declared[1])) == {code.value for code in codes}
