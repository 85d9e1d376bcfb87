"""Settings: all problems at once, secrets from files, silence about secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from relay.base.errors import ConfigError
from relay.base.settings import Settings, environment, load, redacted


class Some(Settings):
    port: int = 80
    name: str
    key: SecretStr | None = None


def problems(environ: dict[str, str], **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(Some, environ, **options)  # type: ignore[arg-type]
    return caught.value.problems


def test_values_come_from_names_in_capitals() -> None:
    some = load(Some, {"PORT": "8080", "NAME": "a", "OTHER": "x"})
    assert (some.port, some.name, some.key) == (8080, "a", None)


def test_the_command_line_wins_where_it_says_something() -> None:
    some = load(Some, {"PORT": "8080", "NAME": "a"}, overrides={"port": 1, "name": None})
    assert (some.port, some.name) == (1, "a")


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(Some, {"NAME": "a", "PORT": ""}).port == 80


def test_all_problems_at_once() -> None:
    found = problems({"PORT": "x", "KEY": "a", "KEY_FILE": "b", "AIRCLASS_X": "1"})
    assert len(found) == 4
    assert "KEY and KEY_FILE are both set: keep one of them" in found
    assert "AIRCLASS_X is not a setting: see .env.example for the names" in found
    assert "NAME is missing: set it in the environment or in .env" in found
    assert any(p.startswith("PORT: ") for p in found)


def test_known_names_of_other_programs_are_no_problem() -> None:
    environ = {"NAME": "a", "AIRCLASS_X": "1", "AIRCLASS_X_FILE": "y"}
    assert load(Some, environ, also_known=["AIRCLASS_X"]).name == "a"


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hush\n")
    some = load(Some, {"NAME": "a", "KEY_FILE": str(path)})
    assert some.key is not None
    assert some.key.get_secret_value() == "hush"
    path.write_bytes(b"\xff")
    assert "KEY_FILE cannot be read (UnicodeDecodeError)" in problems({"NAME": "a", "KEY_FILE": str(path)})[0]
    assert "FileNotFoundError" in problems({"NAME": "a", "KEY_FILE": str(tmp_path / "none")})[0]


def test_no_secret_is_shown() -> None:
    some = load(Some, {"NAME": "a", "KEY": "hush"})
    assert "hush" not in repr(some)
    assert redacted(some) == {"PORT": "80", "NAME": "a", "KEY": "***"}
    assert redacted(load(Some, {"NAME": "a"}))["KEY"] == ""
    assert "s3cret" not in "".join(problems({"NAME": "a", "PORT": "s3cret"}))


def test_settings_do_not_change() -> None:
    some = load(Some, {"NAME": "a"})
    with pytest.raises(ValidationError):
        some.port = 1  # type: ignore[misc]


def test_the_environment_lies_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some.env"
    file.write_text("A_FROM_FILE=1\nA_FROM_BOTH=file\nA_WITHOUT_VALUE\n")
    monkeypatch.setenv("A_FROM_BOTH", "process")
    found = environment(file)
    assert (found["A_FROM_FILE"], found["A_FROM_BOTH"]) == ("1", "process")
    assert "A_WITHOUT_VALUE" not in found
    monkeypatch.chdir(tmp_path)
    assert "A_FROM_FILE" not in environment()
    file.rename(".env")
    assert environment()["A_FROM_FILE"] == "1"
    assert Path(".env").exists()


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "한글"), ("utf-8-sig", "한글"), ("cp949", ""), ("utf-16", "")]
)
def test_a_file_that_a_windows_editor_wrote(encoding: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_bytes("NAME=한글\nPORT=81\n".encode(encoding))
    if name:
        assert load(Some, environment(file)).name == name
        return
    with pytest.raises(ConfigError) as caught:
        environment(file)
    assert caught.value.problems == [f"{file} is not written in UTF-8: save it anew as UTF-8"]


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.symlink_to("/proc/self/mem")  # opens, and refuses to be read, even for root
    with pytest.raises(ConfigError, match="cannot be read"):
        environment(file)
