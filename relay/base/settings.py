"""Settings from environment variables and `.env`: one frozen object, all problems at once.

Each field of a settings class is read from the variable of the same name in capitals, or from
the file that `<NAME>_FILE` names. This is the only module that may look at `os.environ`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SECRET_FILE_BYTES = 64 * 1024
OWN_PREFIX = "AIRCLASS_"


class Settings(BaseModel):
    """Base of every settings class: immutable, and silent about secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


S = TypeVar("S", bound=Settings)


def environment(env_file: Path | None = None) -> dict[str, str]:
    """Return `.env` (or the given file) overlaid with the process environment; ConfigError if unreadable."""
    return {**_from_file(env_file), **os.environ}


def sources(env_file: Path | None = None) -> dict[str, str]:
    """Return where each name of `environment` comes from: `.env` or `environment`."""
    return {**dict.fromkeys(_from_file(env_file), ".env"), **dict.fromkeys(os.environ, "environment")}


def _from_file(env_file: Path | None) -> dict[str, str]:
    path = env_file or Path(".env")
    try:
        # with a byte order mark or without: Windows' editor writes one
        found = dotenv_values(path, encoding="utf-8-sig") if path.is_file() else {}
    except UnicodeDecodeError:
        raise ConfigError([f"{path} is not written in UTF-8: save it anew as UTF-8"]) from None
    except OSError as exc:
        raise ConfigError([f"{path} cannot be read ({exc.strerror}): use the account that owns it"]) from None
    return {name: value for name, value in found.items() if value is not None}


def load(
    model: type[S],
    environ: Mapping[str, str],
    *,
    overrides: Mapping[str, object] | None = None,
    also_known: Iterable[str] = (),
) -> S:
    """Return the settings, or raise one ConfigError that names every problem.

    `overrides` (field name → value, None ignored) come from the command line and win.
    An empty variable counts as absent. Unknown AIRCLASS_* names are an error.
    """
    problems: list[str] = []
    values: dict[str, object] = {}
    for field in model.model_fields:
        name = field.upper()
        text = environ.get(name, "")
        # a class may have a setting of this very name, such as NODE_KEY_FILE: then it is not read here
        file_name = "" if f"{field}_file" in model.model_fields else environ.get(name + "_FILE", "")
        if text and file_name:
            problems.append(f"{name} and {name}_FILE are both set: keep one of them")
        elif file_name:
            text = _read(name, file_name, problems)
        if text:
            values[field] = text
    for field, value in (overrides or {}).items():
        if value is not None:
            values[field] = value
    known = {f.upper() for f in model.model_fields} | set(also_known)
    for name in environ:
        if name.startswith(OWN_PREFIX) and name not in known and name.removesuffix("_FILE") not in known:
            problems.append(f"{name} is not a setting: see .env.example for the names")
    try:
        settings = model.model_validate(values)
    except ValidationError as exc:
        problems += [_sentence(error) for error in exc.errors(include_url=False, include_input=False)]
    if problems:
        raise ConfigError(problems)
    return settings


def redacted(settings: Settings) -> dict[str, str]:
    """Return every setting as `.env` would hold it, secrets as `***`, absent ones as an empty string."""
    return {field.upper(): _as_text(getattr(settings, field)) for field in type(settings).model_fields}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return "***" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _read(name: str, file_name: str, problems: list[str]) -> str:
    try:
        with Path(file_name).open(encoding="utf-8") as file:
            return file.read(MAX_SECRET_FILE_BYTES).strip()
    except (OSError, UnicodeDecodeError) as exc:
        problems.append(f"{name}_FILE cannot be read ({type(exc).__name__}): {file_name}")
        return ""


def _sentence(error: Mapping[str, object]) -> str:
    location = error["loc"]
    name = str(location[0]).upper() if isinstance(location, tuple) and location else "settings"
    if error["type"] == "missing":
        return f"{name} is missing: set it in the environment or in .env"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"
