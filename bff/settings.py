"""The configuration: `load` reads it whole, and reports everything that is wrong with it at once.

The environment wins over the TOML file that `BFF_CONFIG` names, which wins over the defaults. The
fields themselves are in `bff.settings_catalogue`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import PrivateAttr, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from bff.errors import Fault, SettingsError
from bff.settings_catalogue import Catalogue
from bff.settings_operators import OPS, OperatorToken
from bff.settings_sources import Reading, Source, read_sources, variable
from bff.settings_values import EMBEDDED_URL, EVERY_SPACE
from bff.spaces import SpaceTable


class Settings(Catalogue):
    """The whole configuration, immutable. Made by `load`, which checks fields together too.

    Durations are in seconds unless the name says `_ms`, sizes in bytes.
    """

    _sources: Mapping[str, Source] = PrivateAttr(default_factory=lambda: MappingProxyType({}))

    @property
    def embedded(self) -> bool:
        """Whether the cache lives in this process, not in a Redis that others share."""
        return self.redis_url.get_secret_value() == EMBEDDED_URL

    @property
    def space_table(self) -> SpaceTable:
        """From public hosts to spaces; ValueError if neither kind is configured."""
        if self.spaces is not None:
            return self.spaces
        if self.upstream is None:
            raise ValueError("no space is configured")
        return SpaceTable.single(self.upstream)

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """BFF_SECRET as bytes: the first writes, all read."""
        return tuple(each.get_secret_value().encode() for each in self.secret)

    def webhook_secret_for(self, space_name: str) -> bytes:
        """The space's own webhook secret, else the common one; empty if there is neither."""
        found = self.webhook_secret.get(space_name) or self.webhook_secret.get(EVERY_SPACE)
        return found.get_secret_value().encode() if found else b""

    @property
    def operators(self) -> tuple[OperatorToken, ...]:
        """All of them; the one of BFF_OPS_TOKEN, who is called `ops` and may act, first."""
        if self.ops_token is None:
            return self.ops_tokens
        return (OperatorToken(OPS, "act", self.ops_token), *self.ops_tokens)

    def source_of(self, name: str) -> Source:
        """Where a field's value came from."""
        return self._sources.get(name, "default")

    def check_workers(self, workers: int) -> None:
        """SettingsError if that many processes cannot work together with this cache."""
        if workers > 1 and self.embedded:
            reason = f"is {workers}, and {EMBEDDED_URL} is a cache for one: name a Redis to share"
            raise SettingsError(
                (Fault(variable("workers"), reason, "BFF_REDIS_URL=redis://127.0.0.1:6379/0"),)
            )


EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {name: str((field.examples or [""])[0]) for name, field in Settings.model_fields.items()}
)
"""One example for each field, as it would stand in its variable."""


_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "value_error": "{error}",
        "greater_than_equal": "must be at least {ge:.15g}",
        "greater_than": "must be more than {gt:.15g}",
        "less_than_equal": "must be at most {le:.15g}",
        "literal_error": "must be {expected}",
        "string_type": "must be text",
        "string_pattern_mismatch": "must match {pattern}",
        "finite_number": "must be a finite number",
    }
    | dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number")
    | dict.fromkeys(("int_parsing_size",), "must be a shorter number")
    | dict.fromkeys(("float_type", "float_parsing"), "must be a number")
)
"""Our sentence for each kind of pydantic error that a field can give."""


def load(
    environ: Mapping[str, str] | None = None, *, make_secret: Callable[[], str] | None = None
) -> Settings:
    """The settings from `environ` (the process's own if None) and the file that it names.

    Raises one SettingsError with every fault. Without BFF_SECRET, an embedded cache is sealed
    under what `make_secret` returns: at random, and so for this process only.
    """
    reading = read_sources(os.environ if environ is None else environ, EXAMPLES)
    settings, refused = _validate(reading)
    faults = (
        *reading.faults,
        *refused.values(),
        *_conflicts(settings, reading, frozenset(refused)),
    )
    if faults:
        raise SettingsError(faults)
    update: dict[str, object] = {}
    if not settings.secret:
        update["secret"] = (SecretStr((make_secret or secrets.token_urlsafe)()),)
    settings = settings.model_copy(update=update)
    settings._sources = MappingProxyType(dict(reading.sources))
    return settings


def _validate(reading: Reading) -> tuple[Settings, dict[str, Fault]]:
    """The settings without the values that were refused, and a fault for each of those, by field.

    So the rules between fields still find what they need, and are reported in the same run.
    """
    details: list[ErrorDetails] = []
    try:
        return Settings.model_validate(reading.values), {}
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    refused: dict[str, Fault] = {}
    for detail in details:
        name = str(detail["loc"][0])
        place = ", in the file" if reading.sources[name] == "file" else ""
        refused.setdefault(name, _fault(name, _reason(detail) + place))
    sound = {name: value for name, value in reading.values.items() if name not in refused}
    return Settings.model_validate(sound), refused


def _reason(detail: ErrorDetails) -> str:
    return _REASONS.get(detail["type"], "is not of the right form").format(**detail.get("ctx", {}))


def _fault(name: str, reason: str) -> Fault:
    return Fault(variable(name), reason, f"{variable(name)}={EXAMPLES[name]}")


def _conflicts(settings: Settings, reading: Reading, refused: frozenset[str]) -> tuple[Fault, ...]:
    """The rules between fields. What is missing is no fault while it may be in a lost file."""
    faults: list[Fault] = []
    given = reading.values.keys() & {"upstream", "spaces"}
    if len(given) == 2:
        faults.append(_fault("spaces", "cannot be set together with BFF_UPSTREAM: drop one"))
    if not given and reading.whole:
        faults.append(_fault("upstream", "is missing: name one space, or several in BFF_SPACES"))
    shared = "redis_url" in refused or not settings.embedded
    if shared and not settings.secret and "secret" not in refused and reading.whole:
        faults.append(_fault("secret", "is missing, and a shared Redis needs it"))
    faults += _unknown_webhook_spaces(settings)
    faults += _two_of_one(settings)
    return tuple(faults)


def _unknown_webhook_spaces(settings: Settings) -> tuple[Fault, ...]:
    if settings.spaces is None and settings.upstream is None:
        return ()
    known = {space.name for space in settings.space_table.spaces} | {EVERY_SPACE}
    # The name is not repeated: in a secret that holds `=`, it is a part of the secret.
    reasons = [
        f"entry {place} names a space that is not configured"
        for place, name in enumerate(settings.webhook_secret, 1)
        if name not in known
    ]
    return (_fault("webhook_secret", "; ".join(reasons)),) if reasons else ()


def _two_of_one(settings: Settings) -> tuple[Fault, ...]:
    """BFF_OPS_TOKEN is one more operator: neither its name nor its token is another's."""
    if settings.ops_token is None:
        return ()
    reasons = []
    if any(each.name == OPS for each in settings.ops_tokens):
        reasons.append(f"names the operator {OPS}, which is the one of BFF_OPS_TOKEN")
    if any(each.token == settings.ops_token for each in settings.ops_tokens):
        reasons.append("holds the token of BFF_OPS_TOKEN too")
    return (_fault("ops_tokens", "; ".join(reasons)),) if reasons else ()
