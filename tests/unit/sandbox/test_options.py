from __future__ import annotations

import time

import pytest

from bff.sandbox.app import create_app, create_app_from_env, sandbox_of
from bff.sandbox.latency import LogNormal
from bff.sandbox.options import OptionsError, SandboxOptions, options_from_env


def test_an_empty_environment_gives_the_defaults() -> None:
    read, default = (
        options_from_env({"BFF_UPSTREAM": "x", "BFF_SANDBOX_SEED": ""}),
        SandboxOptions(),
    )
    names = ("space", "seed", "members", "throttle", "demo_token", "jwt_tokens")
    assert [getattr(read, name) for name in names] == [getattr(default, name) for name in names]


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "SPACE": "my-space",
        "SEED": "42",
        "MEMBERS": "3",
        "THROTTLE": "off",
        "LATENCY_MS": "lognormal:60:0.5",
        "DEMO_TOKEN": "demo",
        "JWT": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"BFF_SANDBOX_{name}", value)
    sandbox = sandbox_of(create_app_from_env())
    options = sandbox.options
    assert (options.space, options.seed, options.members) == ("my-space", 42, 3)
    assert (options.throttle, options.jwt_tokens) == (False, True)
    assert options.latency_ms == LogNormal(60, 0.5)
    assert sandbox.tokens.user_of("demo") == 7001
    assert len(sandbox.world.members()) == 13


def test_all_faults_are_reported_together() -> None:
    environ = {
        "BFF_SANDBOX_SEED": "x",
        "BFF_SANDBOX_THROTTLE": "maybe",
        "BFF_SANDBOX_LATENCY_MS": "80-20",
    }
    with pytest.raises(OptionsError) as caught:
        options_from_env(environ)
    assert all(name in str(caught.value) for name in environ)


@pytest.mark.parametrize(
    "options", [{"space": "Bad.Space"}, {"space": ""}, {"members": -1}, {"latency_ms": (5, 1)}]
)
def test_unusable_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        SandboxOptions(**options)  # type: ignore[arg-type]


def test_a_sandbox_starts_well_within_a_second() -> None:
    started = time.process_time()
    create_app(SandboxOptions())
    assert time.process_time() - started < 0.5
