"""What players say about themselves."""

from __future__ import annotations

import pytest

from relay.core.viewers import cmcd
from relay.core.viewers.cmcd import NOTHING, Cmcd

# as hls.js 1.7.4 sends it
REAL = (
    b"_HLS_msn=3&CMCD=bl%3D2300%2Cbr%3D2500%2Cbs%2Ccid%3D%22class-7%22%2Cd%3D1000%2Cdl%3D2300%2C"
    b"edu.lat-ms%3D%223200%22%2Cmtp%3D18200%2Cot%3Dv%2Csid%3D%22a-b%22%2Cst%3Dll&x=1"
)


def test_a_real_query() -> None:
    assert cmcd.parse(REAL) == Cmcd(2300, 18200, 3200, True, "a-b")


def test_version_two_puts_numbers_in_lists() -> None:
    assert cmcd.parse(b"CMCD=bl%3D(2300)%2Cmtp%3D(18200)%2Cv%3D2") == Cmcd(2300, 18200)


def test_nothing_said() -> None:
    assert cmcd.parse(b"_HLS_msn=3") is NOTHING


@pytest.mark.parametrize(
    "value", [b"", b"bl", b"bl%3D-5", b"bl%3Dx", b"bl%3D9999999999", b"bl%3D1.5", b"%zz"]
)
def test_what_cannot_be_read_counts_as_not_said(value: bytes) -> None:
    assert cmcd.parse(b"CMCD=" + value).buffer_ms == -1


def test_a_session_id_is_short_ascii() -> None:
    assert cmcd.parse(b"CMCD=sid%3D%22" + b"x" * 500 + b"%22").session == "x" * 64
    assert cmcd.parse(b"CMCD=sid%3D%ff").session == "\ufffd"
