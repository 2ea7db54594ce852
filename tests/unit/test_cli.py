"""The `bff` command in process: usage, exit codes, tables. What it starts is in tests/e2e."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bff import __version__, purge
from bff.cli import main
from bff.purge import Purged
from bff.settings import EXAMPLES
from tests.e2e.commands import taken_port

SECRET = "canary-secret-of-more-than-32-characters"
OPS_TOKEN = "canary-ops-token-of-16"
COMMANDS = ("serve", "sandbox", "demo", "config", "doctor", "purge", "explain", "top")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Bff = Callable[..., Done]


@pytest.fixture
def bff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bff:
    """Runs the command with these arguments, and no `BFF_…` variable but the given ones."""
    for name in os.environ:
        if name.startswith("BFF_"):
            monkeypatch.delenv(name)

    def run(*arguments: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["bff", *arguments])
            for name, text in variables.items():
                patch.setenv(name, text)
            with pytest.raises(SystemExit) as ended:
                main()
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    return run


# --- usage


def test_version(bff: Bff) -> None:
    assert bff("--version") == Done(0, f"bff {__version__}\n", "")


def test_help_names_every_command(bff: Bff) -> None:
    shown = bff("--help")
    assert shown.code == 0
    for command in COMMANDS:
        assert f" {command} " in shown.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(bff: Bff, command: str) -> None:
    shown = bff(command, "--help")
    assert shown.code == 0
    assert "Usage: bff" in shown.out
    assert "--parent" not in shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("serve", "--port", "0"),
        ("serve", "--workers", "0"),
        ("config", "--yaml"),
        ("demo", "--upstream", "http://acme.example"),
        ("demo", "--port", "8090"),
        ("purge", "--user", "0"),
        ("purge", "--user", "1"),
        ("purge", "--ops-token", "x"),
        ("purge", "--ops-token", "x", "--user", "1", "--everything"),
        ("purge", "--ops-token", "x", "--user", "1", "--space", "a", "--all-spaces"),
        ("explain", "--ops-token", "x"),
        ("explain", "--ops-token", "x", "https://a", "--request-id", "b"),
        ("explain", "https://a"),
        ("top",),
        ("top", "--ops-token", "x", "--every", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(bff: Bff, arguments: tuple[str, ...]) -> None:
    shown = bff(*arguments)
    assert shown.code == 2
    assert "Usage: bff" in shown.err


# --- configuration


@pytest.mark.parametrize("command", ["serve", "config"])
def test_all_faults_of_the_configuration_are_one_table(bff: Bff, command: str) -> None:
    shown = bff(command, BFF_PORT="no", BFF_LOG_LEVEL="loud", BFF_SECRET=SECRET[:31])
    assert shown.code == 2
    assert shown.out == ""
    for heading in ("variable", "fault", "for example"):
        assert heading in shown.err
    for name in ("port", "log_level", "secret", "upstream"):
        variable = f"BFF_{name.upper()}"
        (row,) = (line for line in shown.err.splitlines() if line.startswith(f" {variable} "))
        assert f"{variable}={EXAMPLES[name]}" in row
    assert "canary" not in shown.err


def test_more_workers_than_an_embedded_cache_allows_are_refused(bff: Bff) -> None:
    shown = bff("serve", "--workers", "2", BFF_UPSTREAM="acme")
    assert shown.code == 2
    assert "BFF_WORKERS" in shown.err
    assert "BFF_REDIS_URL=redis://127.0.0.1:6379/0" in shown.err


def test_a_number_of_opentelemetrys_that_is_none_is_a_fault_like_others(bff: Bff) -> None:
    limit = {"OTEL_SPAN_LINK_COUNT_LIMIT": "canary", "OTEL_BSP_MAX_QUEUE_SIZE": "0"}
    shown = bff("serve", BFF_UPSTREAM="acme", BFF_TRACES="on", **limit)
    assert shown.code == 2
    for name in limit:
        (row,) = (line for line in shown.err.splitlines() if line.startswith(f" {name} "))
        assert f"{name}=" in row
    assert "canary" not in shown.err


def test_config_shows_every_setting_and_no_secret(bff: Bff) -> None:
    variables = {"BFF_UPSTREAM": "acme", "BFF_SECRET": SECRET, "BFF_OPS_TOKEN": OPS_TOKEN}
    variables |= {"BFF_REDIS_URL": "redis://:canary@[::1]:6379/0", "BFF_DOCTOR_TOKEN": "canary"}
    shown = bff("config", **variables)
    assert shown.code == 0
    for name in EXAMPLES:
        assert f" BFF_{name.upper()} " in shown.out
    assert "redis://***@[::1]:6379/0" in shown.out
    assert "canary" not in shown.out


def test_config_for_programs(bff: Bff) -> None:
    shown = bff("config", "--json", BFF_UPSTREAM="acme", BFF_SECRET=SECRET)
    told = json.loads(shown.out)
    assert list(told) == [f"BFF_{name.upper()}" for name in EXAMPLES]
    assert told["BFF_UPSTREAM"]["source"] == "env"
    assert told["BFF_PORT"] == {"value": "8080", "source": "default"}
    assert "canary" not in shown.out


def test_a_sandbox_that_cannot_be_set_up_tells_everything(bff: Bff) -> None:
    shown = bff("sandbox", "--members", "many", BFF_SANDBOX_SEED="x")
    assert shown.code == 2
    shown = bff("sandbox", "--latency-ms", "slow", BFF_SANDBOX_SEED="x")
    assert shown.code == 2
    assert "BFF_SANDBOX_LATENCY_MS" in shown.err
    assert "BFF_SANDBOX_SEED" in shown.err


def test_doctor_asks_whose_token_it_is_where_several_spaces_are_served(bff: Bff) -> None:
    spaces = "members.acme.example=acme,members.beta.example=beta"
    for arguments in ((), ("--space", "gamma")):
        shown = bff("doctor", *arguments, BFF_SPACES=spaces, BFF_DOCTOR_TOKEN="canary")
        assert shown.code == 2
        assert "acme, beta" in shown.err
        assert "canary" not in shown.err


# --- ports


def test_a_taken_port_is_1_and_one_sentence(bff: Bff) -> None:
    with taken_port() as port:
        shown = bff("sandbox", "--port", str(port))
    assert shown.code == 1
    [sentence] = shown.err.splitlines()
    assert sentence.startswith(f"bff: Port {port} of 127.0.0.1 is taken: ")


# --- purge


@pytest.fixture
def purged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was asked of the gateway, which does it all."""
    asked: list[tuple[object, ...]] = []

    def everywhere(*arguments: object) -> Purged:
        asked.append(arguments)
        return Purged("acme", "it", stored=True, everywhere=True)

    monkeypatch.setattr(purge, "purge", everywhere)
    return asked


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("--user", "7"), {"user": 7}),
        (("--coworker", "8", "--space", "acme"), {"coworker": 8, "space": "acme"}),
        (("--token-digest", "ab"), {"token": "ab"}),
        (("--everything", "--yes"), {"everything": True}),
        (("--everything", "--yes", "--all-spaces"), {"everything": True, "spaces": "all"}),
    ],
)
def test_purge_asks_for_what_is_chosen(
    bff: Bff,
    purged: list[tuple[object, ...]],
    arguments: tuple[str, ...],
    asked: dict[str, object],
) -> None:
    shown = bff("purge", "--url", "http://gateway", *arguments, BFF_OPS_TOKEN=OPS_TOKEN)
    assert shown == Done(0, "acme: it purged.\n", "")
    assert purged == [("http://gateway", OPS_TOKEN, asked)]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_purge_of_everything_asks_first(
    bff: Bff,
    purged: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    shown = bff("purge", "--everything", BFF_OPS_TOKEN=OPS_TOKEN)
    assert shown.code == code
    assert len(purged) == 1 - code


@pytest.mark.parametrize(
    ("stored", "everywhere", "words"),
    [(False, False, "Redis is away"), (True, False, "Not every process")],
)
def test_a_purge_that_did_not_get_everywhere_is_1(
    bff: Bff, monkeypatch: pytest.MonkeyPatch, stored: bool, everywhere: bool, words: str
) -> None:
    monkeypatch.setattr(purge, "purge", lambda *_: Purged("acme", "it", stored, everywhere))
    shown = bff("purge", "--user", "7", BFF_OPS_TOKEN=OPS_TOKEN)
    assert shown.code == 1
    assert words in shown.err


# --- explain


def test_a_header_that_is_none_is_told_without_its_value(bff: Bff) -> None:
    shown = bff("explain", "https://a", "-H", "Bearer canary", BFF_OPS_TOKEN=OPS_TOKEN)
    assert shown == Done(1, "", "bff: A header is given as -H 'Name: value'.\n")
