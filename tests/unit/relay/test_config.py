"""The relay's settings."""

from __future__ import annotations

import json
import socket
from pathlib import Path

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


KEY_TEXT = f"slave-1:{'0' * 64}"
JOIN = f"http://m:8000#{'0' * 12}-{'1' * 40}"


def test_a_node_key_and_a_join_link_are_checked() -> None:
    assert problem(NODE_KEY="slave-1") == (
        "NODE_KEY: is not of the form NODE_ID:KEY: join with a new token (airclass node add)"
    )
    assert problem(NODE_JOIN="http://m:8000").startswith("NODE_JOIN: needs URL#TOKEN")
    settings = load(RelaySettings, {"NODE_KEY": KEY_TEXT, "NODE_KEY_FILE": "/nowhere"})
    assert settings.node_key_file == Path("/nowhere"), "a file that need not be there yet"
    assert KEY_TEXT not in repr(settings)


def test_a_join_link_names_the_master_unless_something_else_does() -> None:
    assert load(RelaySettings, {"NODE_JOIN": JOIN}).master_url == "http://m:8000"
    both = load(RelaySettings, {"NODE_JOIN": JOIN, "MASTER_URL": "http://inside:8000"})
    assert both.master_url == "http://inside:8000"


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
