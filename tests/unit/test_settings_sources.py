"""Environment over file over defaults, and names that are not settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import Fault, SettingsError
from bff.settings import EXAMPLES, Settings, load
from bff.settings_sources import read_sources, variable

CANARY = "c4n4ry"
Write = Callable[[str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the file, and gives back its path."""

    def put(content: str | bytes) -> str:
        path = tmp_path / "bff.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return put


def faults_of(environ: dict[str, str]) -> list[Fault]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return list(caught.value.faults)


class TestPrecedence:
    def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
        self, write: Write
    ) -> None:
        path = write('upstream = "acme"\nport = 8001\nworkers = 2\nlog_level = "WARNING"\n')
        settings = load({"BFF_CONFIG": path, "BFF_PORT": "8002", "BFF_WORKERS": ""})
        assert (settings.port, settings.workers, settings.log_level) == (8002, 2, "warning")
        assert settings.source_of("port") == "env"
        assert settings.source_of("workers") == "file"
        assert settings.source_of("host") == "default"

    def test_a_table_in_the_environment_replaces_that_of_the_file(self, write: Write) -> None:
        path = write('upstream = "acme"\n[shapes]\na = "Id"\nb = "Name"\n')
        assert load({"BFF_CONFIG": path}).shapes == {"a": "Id", "b": "Name"}
        settings = load({"BFF_CONFIG": path, "BFF_SHAPES": '{"c": "User"}'})
        assert settings.shapes == {"c": "User"}

    def test_the_file_has_the_types_of_toml(self, write: Write) -> None:
        path = write(
            "\ufeff"
            'secret = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]\n'
            'cors_origins = ["https://a.com"]\n'
            'max_body = "1MiB"\nl1_bytes = 0\nsentinel_rate = 1\nops_token = ""\n'
            '[spaces]\n"a.com" = "acme"\n"b.com" = "beta"\n'
            '[webhook_secret]\nacme = "a,=b"\n'
        )
        settings = load({"BFF_CONFIG": path})
        assert [len(key) for key in settings.secret_keys] == [32, 32]
        assert settings.cors_origins == ("https://a.com",)
        assert (settings.max_body, settings.l1_bytes, settings.sentinel_rate) == (2**20, 0, 1.0)
        assert settings.ops_token is None
        assert settings.webhook_secret_for("acme") == b"a,=b"
        assert settings.space_table.resolve("b.com").name == "beta"

    def test_an_empty_path_is_no_file(self) -> None:
        assert load({"BFF_UPSTREAM": "acme", "BFF_CONFIG": ""}).port == 8080


class TestFileFaults:
    def test_a_fault_in_the_file_says_so(self, write: Write) -> None:
        path = write("port = 0\nworkers = true\nredis_prefix = 1\n")
        assert faults_of({"BFF_CONFIG": path, "BFF_UPSTREAM": "acme"}) == [
            Fault("BFF_REDIS_PREFIX", "must be text, in the file", "BFF_REDIS_PREFIX=bff-staging"),
            Fault("BFF_PORT", "must be at least 1, in the file", "BFF_PORT=8000"),
            Fault("BFF_WORKERS", "must be a number, in the file", "BFF_WORKERS=4"),
        ]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (f'secret = "{CANARY}', "is not TOML (at end of document)"),
            (f'secret = "{CANARY}\n"', "is not TOML (at line 1, column "),
            (f'port = 1\n"{CANARY}" {CANARY}', "is not TOML (at line 2, column "),
            (f'a = "{CANARY}"\na = 1\n', "is not TOML (at line 2, column "),
            (f"port = {'9' * 5000}", "is not TOML"),
            (b"\xff" + CANARY.encode(), "is not UTF-8"),
            ("a = " + "[" * 100_000, "is nested too deeply"),
        ],
    )
    def test_a_file_that_cannot_be_parsed_shows_where_but_not_what(
        self, write: Write, content: str | bytes, reason: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            load({"BFF_CONFIG": write(content)})
        (fault,) = caught.value.faults
        assert fault.variable == "BFF_CONFIG"
        assert fault.reason.startswith(f"names a file that {reason}")
        assert fault.example == "BFF_CONFIG=/etc/bff/bff.toml"
        assert CANARY not in str(caught.value)
        assert caught.value.__context__ is None

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        for path, reason in (
            (str(tmp_path / "none.toml"), "names a file that cannot be read: No such file"),
            (str(tmp_path), "names a file that cannot be read: Is a directory"),
            ("a\0b", "is not a path"),
        ):
            (fault,) = faults_of({"BFF_CONFIG": path})
            assert fault.reason.startswith(reason)

    def test_what_a_lost_file_may_hold_is_not_called_missing(self, tmp_path: Path) -> None:
        environ = {
            "BFF_CONFIG": str(tmp_path / "none.toml"),
            "BFF_REDIS_URL": "redis://h",
            "BFF_PORT": "x",
        }
        assert [fault.variable for fault in faults_of(environ)] == ["BFF_CONFIG", "BFF_PORT"]


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("BFF_UPSTREM", "BFF_UPSTREAM"),
            ("BFF_REDIS", "BFF_REDIS_URL"),
            ("BFF_PROFILE_FRESH_S", "BFF_PROFILES_FRESH_S"),
            ("BFF_WEBHOOKS_SECRET", "BFF_WEBHOOK_SECRET"),
            ("bff_port", "BFF_PORT"),
            ("Bff_Secrets", "BFF_SECRET"),
        ],
    )
    def test_in_the_environment_with_a_suggestion(self, name: str, meant: str) -> None:
        faults = faults_of({"BFF_UPSTREAM": "acme", name: CANARY})
        assert [(fault.variable, fault.reason) for fault in faults] == [
            (name, f"is not a setting; did you mean {meant}?")
        ]
        assert faults[0].example.startswith(f"{meant}=")
        assert CANARY not in str(faults)

    def test_in_the_file_with_a_suggestion(self, write: Write) -> None:
        path = write('upstream = "acme"\nBFF_PORT = 1\nrelated_scop = "token"\n"a\\nb" = 1\n')
        assert [(fault.variable, fault.reason) for fault in faults_of({"BFF_CONFIG": path})] == [
            ("BFF_PORT", "is not a setting; did you mean port?"),
            ("related_scop", "is not a setting; did you mean related_scope?"),
            ("a key", "is not a setting; docs/settings.md lists them all"),
        ]

    def test_below_the_head_of_a_table_where_they_would_be_a_part_of_it(self, write: Write) -> None:
        """Such as at the end of the file that `deploy/compose/prepare` makes."""
        operators = '[ops_tokens]\n"jane:act" = "0123456789abcdef"\n'
        path = write(f'upstream = "acme"\n{operators}related_scope = "token"\nretries = 0\n')
        faults = faults_of({"BFF_CONFIG": path})
        assert [each.variable for each in faults] == ["related_scope", "retries"]
        assert all("stands below [ops_tokens]" in each.reason for each in faults)
        path = write('[spaces]\n"a.com" = "acme"\nport = "beta"\nmax_body = 1\n')
        (fault,) = faults_of({"BFF_CONFIG": path})
        assert fault.variable == "max_body"
        path = write('upstream = "acme"\n[shapes]\nmax_body = "Id"\n')
        assert load({"BFF_CONFIG": path}).shapes == {"max_body": "Id"}

    def test_without_a_near_name_the_page_is_named(self) -> None:
        assert faults_of({"BFF_UPSTREAM": "acme", "BFF_XYZZY": "1"}) == [
            Fault(
                "BFF_XYZZY",
                "is not a setting; docs/settings.md lists them all",
                "leave it out",
            )
        ]

    def test_the_sandbox_has_names_of_its_own(self) -> None:
        load({"BFF_UPSTREAM": "acme", "BFF_SANDBOX_PORT": "9001", "BFF_SANDBOX_": "x"})
        assert faults_of({"BFF_UPSTREAM": "acme", "BFF_SANDBOX": "1"})
        assert faults_of({"BFF_UPSTREAM": "acme", "bff_sandbox_port": "1"})

    def test_other_programs_variables_are_left_alone(self) -> None:
        load({"BFF_UPSTREAM": "acme", "BFFX": "1", "PORT": "x", "XBFF_PORT": "x", "BF": ""})

    def test_what_kubernetes_writes_beside_a_service_is_left_alone(self) -> None:
        links = {
            "BFF_SERVICE_HOST": "10.0.0.1",
            "BFF_SERVICE_PORT": "8080",
            "BFF_SERVICE_PORT_HTTP": "8080",
            "BFF_PORT": "tcp://10.0.0.1:8080",
            "BFF_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "BFF_PORT_8080_TCP_PROTO": "tcp",
            "BFF_REDIS_SERVICE_HOST": "10.0.0.2",
            "BFF_REDIS_PORT": "tcp://10.0.0.2:6379",
            "BFF_REDIS_PORT_6379_TCP_ADDR": "10.0.0.2",
        }
        assert load({"BFF_UPSTREAM": "acme", **links}).port == 8080
        (fault,) = faults_of({"BFF_UPSTREAM": "acme", **links, "BFF_REDIS_PORT": "6379"})
        assert fault.variable == "BFF_REDIS_PORT"


known = st.sampled_from(sorted(Settings.model_fields))


@given(known, st.characters(categories=["Lu", "Nd"]), st.integers(0, 20))
def test_a_known_name_with_a_sign_too_many_is_never_taken(name: str, sign: str, place: int) -> None:
    at = len("BFF_") + place % (len(name) + 1)
    typo = variable(name)[:at] + sign + variable(name)[at:]
    reading = read_sources({typo: "1"}, EXAMPLES)
    assert not reading.values
    assert [fault.reason.startswith("is not a setting") for fault in reading.faults] == [True]


@given(st.dictionaries(known, st.text(min_size=1).filter(str.strip)))
def test_every_variable_arrives_under_its_fields_name(values: dict[str, str]) -> None:
    environ = {variable(name): text for name, text in values.items()}
    reading = read_sources({**environ, "PATH": "/bin"}, EXAMPLES)
    assert (reading.values, reading.faults, reading.whole) == (values, (), True)
    assert set(reading.sources.values()) <= {"env"}
    assert "values" not in repr(reading)
