""".env.example names every setting and no other, and what it shows commented out is the default."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from relay.base.settings import Settings, load
from tests.policy.tree import ROOT, modules

LINE = re.compile(r"(#?)([A-Z][A-Z0-9_]*)=(.*)")
SECRET = "a-secret-of-more-than-thirty-two-bytes"


def documented() -> dict[str, str]:
    """Return each name with the value shown."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return {match[2]: match[3] for line in lines if (match := LINE.fullmatch(line))}


def settings_classes() -> list[type[Settings]]:
    """Return every settings class of the two packages."""
    for name in modules():
        if name.endswith((".config", ".embedded")):
            import_module(name)
    found, queue = [], [Settings]
    while queue:
        queue += (subclasses := queue.pop().__subclasses__())
        found += subclasses
    return [model for model in found if model.__module__.startswith(("airclass.", "relay."))]


def test_every_settings_class_is_found() -> None:
    users = {name for name in modules() if re.search(r"^class \w+\(.*Settings\):", source(name), re.M)}
    assert {model.__module__ for model in settings_classes()} == users - {"relay.base.settings"}


def source(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def names() -> set[str]:
    return {field.upper() for model in settings_classes() for field in model.model_fields}


def of_compose() -> dict[str, str]:
    """Return what only Docker Compose reads, with its defaults; COMPOSE_PROFILES is Compose's own."""
    text = (ROOT / "deploy/compose.yaml").read_text()
    read = dict(re.findall(r"\$\{([A-Z_]+)(?::-([^}]*)|:\?[^}]*)\}", text))
    return {name: read[name] for name in read.keys() - names()} | {"COMPOSE_PROFILES": ""}


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(documented()) == names() | of_compose().keys()
    assert {name: documented()[name] for name in of_compose()} == of_compose()


@pytest.mark.parametrize("model", settings_classes(), ids=lambda model: model.__name__)
def test_what_is_shown_is_the_default(model: type[Settings]) -> None:
    needed = {name.upper(): SECRET for name, field in model.model_fields.items() if field.is_required()}
    shown = {name: value for name, value in documented().items() if name.lower() in model.model_fields}
    assert load(model, {**shown, **needed}) == load(model, needed)
