"""Settings: all problems at once, no secrets shown, and `.env.example` tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from airclass.config import StandaloneSettings, load_master, load_standalone
from airclass.ops.config import OpsSettings
from relay.base.errors import ConfigError
from relay.base.settings import Settings, redacted
from relay.config import RelaySettings

EXAMPLE = Path(__file__).parents[3] / ".env.example"
MODELS: tuple[type[Settings], ...] = (StandaloneSettings, RelaySettings, OpsSettings)
SECRETS = {"JWT_SECRET_KEY": "j" * 32, "CLUSTER_SECRET": "c" * 32}
# What a setting's default means differs between the two programs; the text beside it tells both.
TOLD_IN_WORDS = {"CORS_ORIGINS", "MASTER_URL"}


def documented() -> dict[str, str]:
    found = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(found) == len(dict(found)), "a setting is documented twice"
    return dict(found)


@pytest.mark.parametrize("model", MODELS)
def test_example_shows_the_defaults_of_the_code(model: type[Settings]) -> None:
    for field, info in model.model_fields.items():
        name = field.upper()
        if name in TOLD_IN_WORDS:
            continue
        default = "" if info.is_required() or info.default is None else info.default
        shown = default[0] if isinstance(default, tuple) and default else default or ""
        if isinstance(default, bool):
            shown = str(default).lower()
        if default == 0 and not isinstance(default, bool | str):
            shown = "0"
        assert documented()[name] == str(shown), name


def test_every_setting_has_a_comment_above() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#?[A-Z][A-Z0-9_]*=", line):
            assert lines[number - 1].startswith("#"), line


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_master({"JWT_SECRET_KEY": "short", "MASTER_BIND": "nowhere", "AIRCLASS_TYPO": "1"})
    text = str(caught.value)
    for name in ("JWT_SECRET_KEY", "CLUSTER_SECRET", "MASTER_BIND", "AIRCLASS_TYPO"):
        assert name in text
    assert "short" not in text.replace("shorter", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGEST_HLS_URL", "ftp://x"),
        ("INGEST_HLS_URL", "http://a,http://b,http://c"),
        ("INGEST_RTMP_PUBLIC_URL", "http://x"),
        ("MASTER_BIND", "127.0.0.1:70000"),
        ("MASTER_URL", "http://user@host"),
        ("HLS_CDN_SECRET", "with space"),
        ("HEALTH_INTERVAL_S", "0"),
        ("TLS_CERT", "only.pem"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_master({**SECRETS, name: value})
    assert len(caught.value.problems) == 1


def test_values_are_read_as_they_are_meant() -> None:
    settings = load_standalone(
        {
            **SECRETS,
            "CORS_ORIGINS": "https://a.example, https://b.example",
            "INGEST_HLS_URL": "http://one:8888/,http://two:8888",
            "INGEST_RTMP_PUBLIC_URL": "rtmp://school.example:1935/live",
            "METRICS_PUBLIC": "true",
            "INGEST": "embedded",
        },
        master_bind="127.0.0.1:0",
    )
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.ingest_hls_url == ("http://one:8888", "http://two:8888")
    assert settings.ingest_rtmp_public_url == "rtmp://school.example:1935"
    assert settings.metrics_public
    assert settings.master_bind == "127.0.0.1:0"


def test_database_is_sqlite_in_the_data_folder_or_what_is_set() -> None:
    assert load_master({**SECRETS, "DATA_DIR": "d"}).database == "sqlite:///d/airclass.sqlite3"
    settings = load_master({**SECRETS, "DATABASE_URL": "postgres://u:p@h/d"})
    assert settings.database == "postgresql+psycopg://u:p@h/d"


def test_secrets_never_show() -> None:
    settings = load_master(
        {**SECRETS, "DATABASE_URL": "postgresql://u:hidden@h/d", "HLS_CDN_SECRET": "cdn42"}
    )
    shown = repr(settings) + str(redacted(settings))
    for secret in ("j" * 32, "c" * 32, "hidden", "cdn42"):
        assert secret not in shown
    assert isinstance(settings.jwt_secret_key, SecretStr)
