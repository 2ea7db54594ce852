"""`load`: one run names every fault, no secret leaves, the environment wins over the file."""

from __future__ import annotations

import copy
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bff.errors import Fault, SettingsError
from bff.settings import EXAMPLES, Settings, load
from bff.settings_doc import describe
from bff.settings_sources import variable

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = SECRET.upper()
REDIS = "redis://127.0.0.1:6379/0"
ONE = {"BFF_UPSTREAM": "acme"}


def faults_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Reason by variable; fails if there is no fault, or two for one variable."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    faults = {fault.variable: fault.reason for fault in caught.value.faults}
    assert len(faults) == len(caught.value.faults)
    return faults


def shown(error: BaseException) -> Iterator[str]:
    """Everything that a log or an error tracker could print of an error and its causes."""
    yield "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        yield repr(link)
        yield repr(link.args)
        yield repr(vars(link))
        link = link.__cause__ or link.__context__


class TestDefaults:
    def test_a_space_is_all_that_is_needed(self) -> None:
        settings = load(ONE)
        assert settings.space_table.resolve("anything.example").name == "acme"
        assert settings.embedded
        assert (settings.port, settings.host, settings.workers) == (8080, "127.0.0.1", 1)
        assert settings.max_body == 26_214_400
        assert settings.l1_bytes == 67_108_864
        assert settings.cors_origins == ()
        assert settings.ops_token is None
        assert settings.webhook_secret_for("acme") == b""

    def test_several_spaces_by_public_host(self) -> None:
        settings = load({"BFF_SPACES": "a.com=acme, b.com:8443 = http://127.0.0.1:9001 "})
        table = settings.space_table
        assert [space.name for space in table.spaces] == ["acme", "127.0.0.1:9001"]
        assert table.resolve("A.com:443").name == "acme"

    def test_the_process_environment_is_read_only_when_none_is_given(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BFF_UPSTREAM", "acme")
        monkeypatch.setenv("BFF_PORT", "9999")
        assert load().port == 9999
        assert load(ONE).port == 8080
        assert list(faults_of({})) == ["BFF_UPSTREAM"]

    def test_a_setting_cannot_be_changed_nor_can_what_it_holds(self) -> None:
        settings = load({**ONE, "BFF_WEBHOOK_SECRET": "s", "BFF_SHAPES": '{"a":"Id"}'})
        with pytest.raises(ValidationError):
            settings.port = 1
        for table in (settings.shapes, settings.webhook_secret):
            with pytest.raises(TypeError):
                table["x"] = "y"  # type: ignore[index]

    def test_settings_that_name_no_space_have_no_table(self) -> None:
        with pytest.raises(ValueError, match="no space"):
            _ = Settings().space_table

    @pytest.mark.parametrize("name", sorted(Settings.model_fields))
    def test_every_field_has_a_sentence_and_an_example_that_loads(self, name: str) -> None:
        description = Settings.model_fields[name].description
        assert description is not None
        assert description.endswith(".")
        example = EXAMPLES[name]
        environ = {"BFF_SECRET": SECRET} | (ONE if name != "spaces" else {})
        # What a command would make up, each time something else.
        made = re.sub(r"\$\(.*?\)", lambda found: f"{SECRET}{found.start()}", example)
        load(environ | {variable(name): made})


class TestSecret:
    def test_without_one_an_embedded_cache_is_sealed_at_random(self) -> None:
        first, second = load(ONE), load(ONE)
        assert first.secret_keys != second.secret_keys
        assert len(first.secret_keys[0]) >= 32
        assert load(ONE, make_secret=lambda: "made").secret_keys == (b"made",)

    def test_the_first_writes_and_all_read(self) -> None:
        settings = load({**ONE, "BFF_SECRET": f"{SECRET} , {OTHER}\n"})
        assert settings.secret_keys == (SECRET.encode(), OTHER.encode())

    @pytest.mark.parametrize("url", [REDIS, "unix:///run/redis.sock", "nonsense"])
    def test_a_shared_redis_needs_one(self, url: str) -> None:
        faults = faults_of({**ONE, "BFF_REDIS_URL": url})
        assert faults["BFF_SECRET"] == "is missing, and a shared Redis needs it"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("short", "entry 1 is shorter than 32 characters"),
            (f"{SECRET},short", "entry 2 is shorter than 32 characters"),
            (f"{SECRET},", "entry 2 is shorter than 32 characters"),
            (f"{SECRET},{OTHER}, {SECRET}", "has the same secret twice"),
            ("\udcff" * 32, "must be valid UTF-8"),
        ],
    )
    def test_a_bad_one_is_the_only_fault_reported(self, text: str, reason: str) -> None:
        assert faults_of({**ONE, "BFF_REDIS_URL": REDIS, "BFF_SECRET": text}) == {
            "BFF_SECRET": reason
        }

    def test_an_empty_list_in_the_file_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "bff.toml").write_text("secret = []")
        environ = {**ONE, "BFF_REDIS_URL": REDIS, "BFF_CONFIG": str(tmp_path / "bff.toml")}
        assert list(faults_of(environ)) == ["BFF_SECRET"]


class TestWebhookSecret:
    def test_one_text_is_for_every_space(self) -> None:
        for text in ("s3cret", "a,b", "c2VjcmV0Cg==", "abcd=", "A=b"):
            settings = load({**ONE, "BFF_WEBHOOK_SECRET": text})
            assert settings.webhook_secret_for("acme") == text.encode()

    def test_each_space_has_its_own(self) -> None:
        environ = {
            "BFF_SPACES": "a.com=acme,b.com=beta,c.com=http://127.0.0.1:9001",
            "BFF_WEBHOOK_SECRET": "acme=a=b==, 127.0.0.1:9001=c",
        }
        settings = load(environ)
        assert settings.webhook_secret_for("acme") == b"a=b=="
        assert settings.webhook_secret_for("127.0.0.1:9001") == b"c"
        assert settings.webhook_secret_for("beta") == b""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("acme=a,acm=b", "entry 2 names a space that is not configured"),
            ("acme=a,b", "must be one secret, or name=secret in every entry"),
            ("acme=a,acme=b", "names a space twice"),
        ],
    )
    def test_a_name_that_fits_no_space_is_a_fault(self, text: str, reason: str) -> None:
        assert faults_of({**ONE, "BFF_WEBHOOK_SECRET": text}) == {"BFF_WEBHOOK_SECRET": reason}

    def test_names_are_not_judged_against_spaces_that_are_themselves_at_fault(self) -> None:
        assert list(faults_of({"BFF_UPSTREAM": "a b", "BFF_WEBHOOK_SECRET": "acme=a"})) == [
            "BFF_UPSTREAM"
        ]


class TestFaults:
    def test_all_are_reported_at_once_each_with_variable_reason_and_example(self) -> None:
        environ = {
            "BFF_SPACES": "portal.acme.com",
            "BFF_UPSTREAM": "http://acme.example",
            "BFF_REDIS_URL": REDIS,
            "BFF_PORT": "0",
            "BFF_WORKRS": "2",
            "BFF_CORS_ORIGINS": "*,https://a.com",
            "BFF_LOG_FORMAT": "xml",
        }
        with pytest.raises(SettingsError) as caught:
            load(environ)
        assert {fault.variable for fault in caught.value.faults} == {
            "BFF_SPACES",
            "BFF_UPSTREAM",
            "BFF_SECRET",
            "BFF_PORT",
            "BFF_WORKRS",
            "BFF_CORS_ORIGINS",
            "BFF_LOG_FORMAT",
        }
        for fault in caught.value.faults:
            assert fault.example.startswith("BFF_")
            assert f"  {fault.variable}: {fault.reason} (for example {fault.example})" in str(
                caught.value
            )
        assert Fault("BFF_PORT", "must be at least 1", "BFF_PORT=8000") in caught.value.faults

    def test_one_space_and_several_exclude_each_other(self) -> None:
        both = {**ONE, "BFF_SPACES": "a.com=acme"}
        assert faults_of(both) == {
            "BFF_SPACES": "cannot be set together with BFF_UPSTREAM: drop one"
        }
        assert faults_of({}) == {
            "BFF_UPSTREAM": "is missing: name one space, or several in BFF_SPACES"
        }
        assert faults_of({"BFF_UPSTREAM": " ", "BFF_SPACES": ""}) == faults_of({})

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("PORT", "65536", "must be at most 65535"),
            ("PORT", "eighty", "must be a whole number"),
            ("PORT", "80.5", "must be a whole number"),
            ("PORT", "9" * 5000, "must be a shorter number"),
            ("WORKERS", "0", "must be at least 1"),
            ("REDIS_TIMEOUT_MS", "-1", "must be at least 1"),
            ("REDIS_PREFIX", "bff:{x}", "must match ^[A-Za-z0-9_.-]{1,32}$"),
            ("PROFILES_STALE_S", "-0.1", "must be at least 0"),
            ("RELATED_ERROR_S", "2592001", "must be at most 2592000"),
            ("RELATED_FRESH_S", "5m", "must be a number"),
            ("DEADLINE_S", "0", "must be more than 0"),
            ("DEADLINE_S", "inf", "must be a finite number"),
            ("SENTINEL_RATE", "nan", "must be a finite number"),
            ("SENTINEL_RATE", "1.01", "must be at most 1"),
            ("RELATED_SCOPE", "space", "must be 'coworker' or 'token'"),
            ("MAX_BODY", "0", "must be at least 1"),
            ("MAX_BODY", "25 miles", "must be a number of bytes, or one with kB, MB, GB, KiB, MiB"),
            ("L1_BYTES", "-1", "must be a number of bytes"),
            ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
            ("HOST", "0.0.0.0:80", "must not have a port; BFF_PORT names it"),
            ("OPS_TOKEN", "short", "must be 16 or more ASCII characters: letters, digits"),
            ("SHAPES", "[]", "must be an object of names and shapes"),
        ],
    )
    def test_a_value_out_of_range(self, name: str, text: str, reason: str) -> None:
        faults = faults_of({**ONE, f"BFF_{name}": text})
        assert list(faults) == [f"BFF_{name}"]
        assert faults[f"BFF_{name}"].startswith(reason)

    def test_workers_need_a_shared_redis(self) -> None:
        alone = load({**ONE, "BFF_WORKERS": "4"})
        alone.check_workers(1)
        with pytest.raises(SettingsError, match="BFF_WORKERS: is 4") as caught:
            alone.check_workers(alone.workers)
        assert caught.value.faults[0].example == f"BFF_REDIS_URL={REDIS}"
        load({**ONE, "BFF_REDIS_URL": REDIS, "BFF_SECRET": SECRET}).check_workers(4)


CANARY = "c4n4ry"
# Long enough for every length check, and with the signs that make the parsers stumble.
secret_texts = st.text(alphabet="a=,:/@?#%[] \n\x7f", max_size=40).map(
    lambda text: f"{CANARY}{text}{CANARY}-{CANARY}-{CANARY}-{CANARY}"
)
secret_environs = st.fixed_dictionaries(
    {"BFF_UPSTREAM": st.sampled_from(["acme", f"https://user:{CANARY}@acme.com", "a b"])},
    optional={
        "BFF_SECRET": secret_texts | st.builds("{},{}".format, secret_texts, secret_texts),
        "BFF_OPS_TOKEN": secret_texts,
        "BFF_WEBHOOK_SECRET": secret_texts | secret_texts.map("acme={}".format),
        "BFF_REDIS_URL": st.builds(
            "{}://{}{}{}".format,
            st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "http"]),
            st.one_of(st.just(""), secret_texts.map("user:{}@".format), st.just(f":{CANARY}@")),
            st.sampled_from(["host", "host:6379/0", "/run/redis.sock", "a:1,b:2/service"]),
            st.sampled_from(["", "?db=1", f"?password={CANARY}", f"?db=1&password={CANARY}"]),
        ),
        "BFF_PORT": st.sampled_from(["1", "0"]),
    },
)


@given(secret_environs)
def test_pitfall_6_no_secret_is_in_an_error_a_repr_or_a_dump(environ: dict[str, str]) -> None:
    try:
        settings = load(environ)
    except SettingsError as error:
        assert not [text for text in shown(error) if CANARY in text]
        return
    views = [
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.model_dump_json(),
        repr(vars(settings)),
        repr(copy.copy(settings)),
        repr(describe(settings)),
    ]
    assert not [view for view in views if CANARY in view]


def test_pitfall_6_the_canary_would_be_seen() -> None:
    """The property above cannot hold by looking in the wrong place: these are let through."""
    url = f"redis://:{CANARY}@host/0?password={CANARY}"
    environ = {**ONE, "BFF_SECRET": CANARY * 6, "BFF_REDIS_URL": url, "BFF_HOST": CANARY}
    settings = load(environ)
    assert settings.redis_url.get_secret_value() == url
    assert settings.secret_keys == ((CANARY * 6).encode(),)
    assert CANARY in repr(settings)


@given(
    st.dictionaries(
        st.sampled_from(sorted(map(variable, Settings.model_fields))), st.text(), max_size=5
    )
)
def test_any_environment_gives_settings_or_faults(environ: dict[str, str]) -> None:
    try:
        load(environ)
    except SettingsError as error:
        assert error.faults
        assert all(f.variable in {*environ, "BFF_UPSTREAM", "BFF_SECRET"} for f in error.faults)
