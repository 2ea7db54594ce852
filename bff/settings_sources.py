"""Where settings stand: `BFF_…` variables over an optional TOML file. Names are checked here."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bff.errors import Fault

Source = Literal["env", "file", "default"]

PREFIX: Final = "BFF_"
CONFIG: Final = "BFF_CONFIG"
CONFIG_EXAMPLE: Final = "/etc/bff/bff.toml"
SANDBOX_PREFIX: Final = "BFF_SANDBOX_"

# Kubernetes writes these into every pod beside a Service named `bff` or `bff-…`.
_SERVICE_LINK = re.compile(
    r"BFF_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
_SERVICE_LINK_URL = re.compile(r"(?:tcp|udp|sctp)://\S*")
_PLACE_IN_FILE = re.compile(r" \(at [a-z0-9, ]+\)$")
_FREE_NAMES: Final = "shapes"
_WITH_ROLES: Final = "ops_tokens"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Reading:
    """Raw values by field name. `whole` is false if the file could not be read."""

    values: Mapping[str, object] = field(repr=False)
    sources: Mapping[str, Source]
    faults: tuple[Fault, ...]
    whole: bool = True


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def read_sources(environ: Mapping[str, str], examples: Mapping[str, str]) -> Reading:
    """What is set, empty text left out, with a fault for every name that is not in `examples`.

    `examples` maps the fields' names to the text of an example.
    """
    file = _read_file(environ.get(CONFIG, ""), examples)
    env = _read_environment(environ, examples)
    return Reading(
        {**file.values, **env.values},
        {**file.sources, **env.sources},
        file.faults + env.faults,
        file.whole,
    )


def _read_environment(environ: Mapping[str, str], examples: Mapping[str, str]) -> Reading:
    known = {variable(name): name for name in examples}
    values: dict[str, object] = {}
    faults: list[Fault] = []
    for key in sorted(environ):
        if not key.upper().startswith(PREFIX) or key == CONFIG or key.startswith(SANDBOX_PREFIX):
            continue
        if _is_service_link(key, environ[key]):
            continue
        if key not in known:
            faults.append(_unknown(key, examples, variable))
        elif environ[key].strip():
            values[known[key]] = environ[key]
    return Reading(values, dict.fromkeys(values, "env"), tuple(faults))


def _is_service_link(key: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(key):
        return True
    return key.endswith("_PORT") and _SERVICE_LINK_URL.fullmatch(value) is not None


def _read_file(path: str, examples: Mapping[str, str]) -> Reading:
    if not path:
        return Reading({}, {}, ())
    try:
        document = _parse_file(path)
    except ValueError as error:
        return Reading({}, {}, (Fault(CONFIG, str(error), f"{CONFIG}={CONFIG_EXAMPLE}"),), False)
    strays = tuple(_strays(document, examples))
    # Empty text is left out like an empty variable: both mean "not set".
    values = {key: value for key, value in document.items() if key in examples and value != ""}
    faults = tuple(_unknown(key, examples, str) for key in document if key not in examples)
    return Reading(values, dict.fromkeys(values, "file"), faults + strays)


def _strays(document: Mapping[str, object], examples: Mapping[str, str]) -> Iterator[Fault]:
    """Take settings out of the tables below whose heads they stand, such as at a file's end."""
    for name, table in document.items():
        if not isinstance(table, dict) or name == _FREE_NAMES:
            continue
        for key in [key for key in table if key in examples and _is_setting(key, name)]:
            del table[key]
            reason = f"stands below [{name}], and so belongs to it: settings go above every [table]"
            yield Fault(key, reason, f"{variable(key)}={examples[key]}")


def _is_setting(key: str, table: str) -> bool:
    # Other keys are hosts and spaces, which have no underscore but may be called `port`.
    return "_" in key or table == _WITH_ROLES


def _parse_file(path: str) -> dict[str, object]:
    """The document; ValueError says why there is none, without a word of what the file holds."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("is not a path") from None
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("names a file that is not UTF-8") from None
    except ValueError as error:
        place = _PLACE_IN_FILE.search(str(error))
        raise ValueError("names a file that is not TOML" + (place[0] if place else "")) from None
    except RecursionError:
        raise ValueError("names a file that is nested too deeply") from None


def _unknown(key: str, examples: Mapping[str, str], spell: Callable[[str], str]) -> Fault:
    """`spell` writes a field's name as it should have stood there."""
    shown = key if _PLAIN_KEY.fullmatch(key) else "a key"
    near = difflib.get_close_matches(key.lower().removeprefix(PREFIX.lower()), examples, n=1)
    if not near:
        reason = "is not a setting; docs/settings.md lists them all"
        return Fault(shown, reason, "leave it out")
    example = f"{variable(near[0])}={examples[near[0]]}"
    return Fault(shown, f"is not a setting; did you mean {spell(near[0])}?", example)
