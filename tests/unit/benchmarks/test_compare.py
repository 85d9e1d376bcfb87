"""Adding up rounds, splitting crowds, and a certificate that a TLS server takes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.certificate import self_signed
from benchmarks.compare import added_up, ratio
from benchmarks.crowd import Orders
from benchmarks.viewers import split

if TYPE_CHECKING:
    from pathlib import Path


def round_of(cpu_s: float, requests: int, **more: Any) -> dict[str, Any]:
    return {
        "requests": requests,
        "elapsed_s": 10.0,
        "cpu_s": cpu_s,
        "user_s": cpu_s / 2,
        "system_s": cpu_s / 2,
        "body_bytes": 100,
        "us_per_request": 1e6 * cpu_s / requests,
        "client_busy": cpu_s / 10,
        "rest_percent": 5.0,
        "failures": {"playlist 503": 1},
        **more,
    }


def test_rounds_are_weighed_by_their_requests() -> None:
    found = added_up([round_of(1.0, 1000), round_of(3.0, 9000)])
    assert found["us_per_request"] == pytest.approx(400.0)
    assert found["cpu_percent"] == pytest.approx(20.0)
    assert found["us_per_request_rounds"] == [1000.0, pytest.approx(1e6 * 3 / 9000)]
    assert found["client_busy"] == pytest.approx(0.3)
    assert found["failures"] == {"playlist 503": 2}
    assert "stalls" not in found


def test_stalls_are_added_up() -> None:
    assert added_up([round_of(1.0, 1, stalls=2), round_of(1.0, 1, stalls=3)])["stalls"] == 5


def test_a_crowd_is_split_without_losing_anyone() -> None:
    urls = [f"http://h/{n}" for n in range(7)]
    parts = split(Orders(urls, 7, 1.0, 1.0, 1.0), 3)
    assert [part.viewers for part in parts] == [3, 2, 2]
    assert [url for part in parts for url in part.urls] == urls
    assert [part.urls for part in split(Orders(["x"], 5, 1.0, 1.0, 1.0), 2)] == [["x"], ["x"]]


def test_the_certificate_is_taken(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def test_the_ratio_is_the_median_of_neighbouring_rounds() -> None:
    relay = added_up([round_of(1.0, 10_000), round_of(9.0, 10_000), round_of(1.2, 10_000)])
    nginx = added_up([round_of(2.0, 10_000), round_of(2.0, 10_000), round_of(1.2, 10_000)])
    assert ratio(relay, nginx) == pytest.approx(1.0)
    assert ratio(nginx, nginx) == 1.0
