"""The catalogue of settings, shown: docs/settings.md, and the lines of `bff config`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from bff.settings import EXAMPLES, Settings
from bff.settings_sources import CONFIG, CONFIG_EXAMPLE, SANDBOX_PREFIX, Source, variable
from bff.settings_values import EVERY_SPACE, SecretUrl
from bff.spaces import Space, SpaceTable

_HEAD: Final = f"""\
# Settings

Generated from `bff/settings_catalogue.py` by `python -m bff.settings_doc`; a test compares.

Each setting is an environment variable, or a key of the TOML file that `{CONFIG}` names: its name
in lower case without `BFF_`. The environment wins over the file. Empty text counts as not set. A
name that is not in this table is refused at start, as is every value out of its range; all faults
are reported together. `{SANDBOX_PREFIX}…` belongs to `bff sandbox`.

```toml
port = 8000

[spaces]
"members.acme.com" = "acme"
```

| Variable | Default | Meaning |
| --- | --- | --- |
"""
_NO_VALUE: Final = "not set"


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting as `bff config` shows it; `value` holds no secret."""

    variable: str
    value: str
    source: Source


def describe(settings: Settings) -> list[SettingLine]:
    """Every setting in the order of the catalogue, secrets masked."""
    lines = []
    for name in Settings.model_fields:
        source = settings.source_of(name)
        made_up = name == "secret" and source == "default" and settings.secret
        value = "made up at start" if made_up else _show(getattr(settings, name))
        lines.append(SettingLine(variable(name), value, source))
    return lines


def render() -> str:
    """The text of docs/settings.md."""
    rows = [_row(CONFIG, "", "The TOML file to read, if any.", CONFIG_EXAMPLE)]
    for name, field in Settings.model_fields.items():
        default = _show(field.get_default(call_default_factory=True))
        shown = "" if default == _NO_VALUE else default
        rows.append(_row(variable(name), shown, field.description or "", EXAMPLES[name]))
    return _HEAD + "".join(rows)


def _row(name: str, default: str, meaning: str, example: str) -> str:
    cells = (f"`{name}`", f"`{default}`" if default else "", f"{meaning} Example: `{example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _show(value: object) -> str:
    match value:
        case SecretUrl():
            text = str(value)
        case SecretStr():
            text = "set"
        case Space():
            text = f"{value.name} ({value.origin.url})"
        case SpaceTable():
            text = _pairs((host, _show(space)) for host, space in value.by_host.items())
        case None | ():
            text = _NO_VALUE
        case Mapping():
            text = _show_table(value)
        case (SecretStr(), *_):
            text = f"set ({len(value)} secret{'s' if len(value) > 1 else ''})"
        case tuple():
            text = ", ".join(map(str, value))
        case float():
            text = f"{value:.15g}"
        case _:
            text = str(value)
    return text


def _show_table(table: Mapping[str, object]) -> str:
    if not table:
        return _NO_VALUE
    if EVERY_SPACE in table:
        return "set (every space)"
    return _pairs((name, _show(entry)) for name, entry in table.items())


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in pairs)


if __name__ == "__main__":
    sys.stdout.write(render())
