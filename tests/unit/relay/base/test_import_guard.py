"""A relay loads nothing that only looks nice."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from relay.base.import_guard import without


def test_a_module_that_is_left_out_is_found_afterwards() -> None:
    sys.modules.pop("tabnanny", None)
    with without("tabnanny"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("tabnanny")
    found = importlib.import_module("tabnanny")
    with without("tabnanny"):
        assert importlib.import_module("tabnanny") is found


def test_a_relay_does_not_load_rich_but_can() -> None:
    code = "import sys, relay.__main__ as _; assert 'rich' not in sys.modules; import relay.top.screen"
    subprocess.run([sys.executable, "-c", code], check=True)
