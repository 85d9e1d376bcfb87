"""The relay's settings."""

from __future__ import annotations

import json
import socket

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.base.errors import ConfigError
from relay.base.settings import load
from relay.config import RelaySettings, split_address

SECRET = "s" * 32


def problem(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(RelaySettings, environ)
    (found,) = caught.value.problems
    return found


def test_defaults_are_for_a_relay_alone() -> None:
    settings = load(RelaySettings, {})
    assert (settings.relay_bind, settings.relay_admin_bind) == ("0.0.0.0:8080", "127.0.0.1:8081")
    assert settings.cors == ("*",)
    assert settings.zone == ()
    assert settings.node_name == socket.gethostname()


def test_lists_and_names() -> None:
    settings = load(
        RelaySettings,
        {
            "CORS_ORIGINS": " http://a, http://b ,",
            "NODE_ZONE": "10.0.0.0/8",
            "NODE_ID": "n1",
            "RELAY_BIND": "[::1]:81",
            "MASTER_URL": "http://master:8000/",
            "CLUSTER_SECRET": SECRET,
        },
    )
    assert settings.cors == ("http://a", "http://b")
    assert (settings.zone, settings.node_name, settings.master_url) == (
        ("10.0.0.0/8",),
        "n1",
        "http://master:8000",
    )
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("value", ["8080", ":8080", "host:", "host:x", "host:99999", "host:-1"])
def test_addresses_to_listen_on(value: str) -> None:
    assert "write HOST:PORT" in problem(RELAY_BIND=value)


@pytest.mark.parametrize("value", ["master:8000", "ftp://master", "http://", "file:///etc/passwd"])
def test_addresses_of_others(value: str) -> None:
    assert "write a whole address" in problem(NODE_PUBLIC_URL=value)


def test_secrets_are_long() -> None:
    assert "at least 32 bytes" in problem(VIEWER_KEY="short")
    assert "short" not in problem(VIEWER_KEY="short")


def test_keys_of_a_relay_alone() -> None:
    public = Ed25519PrivateKey.generate().public_key()
    text = json.dumps({"keys": [json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(public))]})
    settings = load(RelaySettings, {"VIEWER_KEY": SECRET, "VIEWER_JWKS": text})
    assert settings.keys[0] == SECRET.encode()
    assert settings.keys[1] == public
    assert load(RelaySettings, {}).keys == ()
    assert problem(VIEWER_JWKS="{}") == 'VIEWER_JWKS: is no JSON Web Key Set: {"keys": [...]}'


def test_what_goes_together() -> None:
    assert "go together" in problem(TLS_CERT="/x")
    assert "CLUSTER_SECRET is missing" in problem(MASTER_URL="http://m")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONNECTIONS", "0"),
        ("MAX_EGRESS_MBPS", "-1"),
        ("MAX_EGRESS_MBPS", "inf"),
        ("MAX_EGRESS_MBPS", "nan"),
        ("CACHE_MB", "1"),
        ("HOLD_LIMIT", "never"),
        ("LOG_LEVEL", "loud"),
        ("HEARTBEAT_INTERVAL_S", "0"),
    ],
)
def test_values_out_of_range(name: str, value: str) -> None:
    assert problem(**{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("bind", "wanted"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:81", ("::1", 81)), ("localhost:0", ("localhost", 0))],
)
def test_split_addresses(bind: str, wanted: tuple[str, int]) -> None:
    assert split_address(bind) == wanted
