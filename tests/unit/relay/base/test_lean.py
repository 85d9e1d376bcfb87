"""A relay loads nothing that only looks nice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relay.base.lean import without


def test_a_module_that_is_left_out_is_found_afterwards() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tabnanny"]:
        del sys.modules[name]
    with without("tabnanny"), pytest.raises(ModuleNotFoundError):
        import tabnanny
    import tabnanny  # noqa: F811

    with without("tabnanny"):
        assert sys.modules["tabnanny"] is tabnanny


def test_a_relay_does_not_load_rich_but_can() -> None:
    code = "import sys, relay.__main__ as _; assert 'rich' not in sys.modules; import relay.io.top"
    subprocess.run([sys.executable, "-c", code], check=True)
