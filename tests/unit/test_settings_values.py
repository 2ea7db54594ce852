"""Each reader: what it takes, what it refuses, and that it never repeats what it was given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bff import settings_values as read
from bff.limits import Limit
from bff.settings_values import EVERY_SPACE, SecretUrl

CANARY = "c4n4ry"
READERS: tuple[Callable[[object], object], ...] = (
    read.read_text,
    read.read_choice,
    read.read_number,
    read.read_size,
    read.read_space,
    read.read_spaces,
    read.read_redis_url,
    read.read_secrets,
    read.read_ops_token,
    read.read_webhook_secrets,
    read.read_web_origins,
    read.read_shapes,
    read.read_bind_host,
    read.read_limits,
)


class TestLimits:
    def test_reads_them_shortest_window_first(self) -> None:
        limits = read.read_limits("120/m, 1/100ms")
        assert limits == (Limit(1, 0.1), Limit(120, 60))
        assert read.show_limits(limits) == "1/100ms,120/m"

    def test_refuses_two_for_one_time(self) -> None:
        with pytest.raises(ValueError, match="two limits for the same time"):
            read.read_limits("60/m,120/60s")


class TestSize:
    @pytest.mark.parametrize(
        ("given_size", "size"),
        [
            ("0", 0),
            ("26214400", 26_214_400),
            (26_214_400, 26_214_400),
            (" 25MiB ", 25 * 1024**2),
            ("25 mib", 25 * 1024**2),
            ("25MB", 25_000_000),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("2GiB", 2 * 1024**3),
            ("2gb", 2_000_000_000),
            ("7B", 7),
        ],
    )
    def test_reads(self, given_size: object, size: int) -> None:
        assert read.read_size(given_size) == size

    @pytest.mark.parametrize(
        "text", ["", "MiB", "-1", "1.5MiB", "25M", "25 MiBs", "1_0", "٣", True]
    )
    def test_refuses(self, text: object) -> None:
        with pytest.raises(ValueError, match="must be a number"):
            read.read_size(text)

    @given(st.integers(0, 10**15 - 1), st.sampled_from(["KiB", "MiB", "GiB"]))
    def test_binary_units_are_powers_of_1024(self, number: int, unit: str) -> None:
        power = ["KiB", "MiB", "GiB"].index(unit) + 1
        assert read.read_size(f"{number}{unit}") == number << (10 * power)


class TestRedisUrl:
    @pytest.mark.parametrize(
        ("text", "displayed"),
        [
            ("embedded://", "embedded://"),
            ("REDIS://Host", "redis://Host"),
            ("redis://my_redis:6379/0", "redis://my_redis:6379/0"),
            ("redis://:pw@h:6379/1?db=2", "redis://***@h:6379/1?db=2"),
            ("redis://user@h", "redis://***@h"),
            ("rediss://u:p%40w@[::1]:6379", "rediss://***@[::1]:6379"),
            ("redis://h?password=pw&db=1", "redis://h?***"),
            ("redis+sentinel://:pw@a:1,b/main/2", "redis+sentinel://***@a:1,b/main/2"),
            ("redis+cluster://a:1,[::1]:2/", "redis+cluster://a:1,[::1]:2/"),
            ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
            ("unix://:pw@/run/r.sock", "unix://***@/run/r.sock"),
        ],
    )
    def test_takes_and_shows_without_secrets(self, text: str, displayed: str) -> None:
        url = read.read_redis_url(text)
        assert str(url) == displayed
        assert repr(url) == f"SecretUrl('{displayed}')"
        assert url.get_secret_value().lower() == text.lower()

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "must begin with embedded://"),
            ("redis:h", "must begin with embedded://"),
            ("http://h", "must begin with embedded://"),
            ("embedded://x", "must look like embedded://$"),
            ("redis://", "must look like redis://"),
            (f"redis://:{CANARY}/x@h", "percent-encode"),
            (f"redis://:{CANARY}#x@h", "percent-encode"),
            (f"redis://:{CANARY}?x@h", "percent-encode"),
            (f"redis://:{CANARY} x@h", "percent-encode"),
            (f"redis://:{CANARY}@x@h", "percent-encode"),
            ("redis://h/main", "must look like redis://"),
            ("redis://a,b", "must look like redis://"),
            ("redis://h:0", "ports from 1"),
            ("redis+cluster://h:1,h:65536", "ports from 1"),
            ("redis+cluster://h/1", "must look like"),
            ("redis+sentinel://h", "service"),
            ("unix://", "must look like unix:///run"),
            ("unix://host/run/redis.sock", "must look like unix:///run"),
            (f"unix://u:@/{CANARY}@/run/redis.sock", "percent-encode"),
        ],
    )
    def test_refuses_without_repeating_it(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason) as caught:
            read.read_redis_url(text)
        assert CANARY not in str(caught.value)

    @given(
        st.text(alphabet="a1:/@?#&=,.[] ", max_size=16), st.text(alphabet=":/@?#&= ", max_size=4)
    )
    def test_a_password_is_never_shown(self, around: str, mark: str) -> None:
        for lead in ("redis://", "unix://", "redis+sentinel://", "redis+cluster://"):
            for text in (f"{lead}:{CANARY}{around}@h{mark}", f"{lead}u:{mark}{CANARY}@{around}"):
                try:
                    url = read.read_redis_url(text)
                except ValueError as error:
                    assert CANARY not in str(error)
                else:
                    assert CANARY not in str(url)


class TestWebOrigins:
    @pytest.mark.parametrize(
        ("value", "origins"),
        [
            ("", ()),
            ([], ()),
            ("*", ("*",)),
            (
                "HTTPS://Portal.Acme.com:443/, http://localhost:3000",
                ("https://portal.acme.com", "http://localhost:3000"),
            ),
            ("https://a.com,https://A.com:443", ("https://a.com",)),
            (["capacitor://localhost", "ionic://localhost"],) * 2,
            ("http://192.168.1.5:80", ("http://192.168.1.5",)),
            ("http://a.com:443", ("http://a.com:443",)),
            ("https://[::1]:3000", ("https://[::1]:3000",)),
        ],
    )
    def test_reads_origins_as_browsers_write_them(self, value: object, origins: object) -> None:
        assert read.read_web_origins(value) == tuple(origins)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("*,https://a.com", "must be \\* alone"),
            ("https://a.com,", "entry 2 must be scheme://"),
            ("a.com", "entry 1 must be scheme://"),
            ("https://a.com/app", "entry 1 must be scheme://"),
            ("https://*.a.com", "entry 1 must be a host"),
            ("https://u:p@a.com", "entry 1 must be a host"),
            ("https://b\u00fccher.example", "entry 1 must be scheme://"),
            ("Null", "entry 1 is null"),
            ("file://", "entry 1 must be scheme://"),
            ("x, https://a.com, y", "entry 1 .*; entry 3 "),
            ([1], "entry 1 must be text"),
            (1, "must be text"),
        ],
    )
    def test_refuses(self, value: object, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            read.read_web_origins(value)


class TestTables:
    def test_spaces_as_a_table(self) -> None:
        table = read.read_spaces({"a.com": "acme", "b.com": "http://127.0.0.1:1"})
        assert [space.name for space in table.spaces] == ["acme", "127.0.0.1:1"]
        assert read.show_spaces(table) == {
            "a.com": "https://acme.spaces.nexudus.com",
            "b.com": "http://127.0.0.1:1",
        }
        assert read.show_spaces(None) == {}
        assert read.show_space(None) is None
        assert read.show_space(table.spaces[1]) == "http://127.0.0.1:1"

    def test_webhook_secrets_as_a_table_may_hold_any_sign(self) -> None:
        found = read.read_webhook_secrets({"acme": "a,b=c", "beta": " x "})
        assert {name: s.get_secret_value() for name, s in found.items()} == {
            "acme": "a,b=c",
            "beta": "x",
        }
        assert read.show_secrets(found) == dict.fromkeys(("acme", "beta"), "**********")

    @given(st.from_regex(r"[A-Za-z0-9+/]{1,40}={0,2}", fullmatch=True))
    def test_a_base64_secret_is_one_secret(self, text: str) -> None:
        assert read.read_webhook_secrets(text) == {EVERY_SPACE: SecretStr(text)}

    def test_shapes_from_json_and_from_a_table(self) -> None:
        shapes = {"mobile": "User.Id", "B_2": "Profiles"}
        assert read.read_shapes('{"mobile": "User.Id", "B_2": "Profiles"}') == shapes
        assert read.read_shapes(shapes) == shapes
        assert read.read_shapes({"a": "b" * 4096})

    @pytest.mark.parametrize(
        ("reader", "value", "reason"),
        [
            (read.read_spaces, "a.com", "entry 1 must be host=space"),
            (read.read_spaces, {}, "at least one host"),
            (
                read.read_spaces,
                {"a": {"com": "acme"}},
                'entry 1 is a table; quote its key, like "a.b"',
            ),
            (read.read_spaces, {"a.com": 1}, "entry 1 must be text"),
            (read.read_spaces, 1, "must be text"),
            (read.read_webhook_secrets, {"acme": ""}, "has an empty secret"),
            (read.read_webhook_secrets, {"acme": " ", "beta": "x"}, "has an empty secret"),
            (read.read_webhook_secrets, {"acme ": "x", "acme": "y"}, "names a space twice"),
            (read.read_webhook_secrets, 12345, "must be text"),
            (read.read_shapes, "{", "must be a JSON object"),
            (read.read_shapes, "[" * 100_000, "must be a JSON object"),
            (read.read_shapes, "1", "must be an object"),
            (read.read_shapes, True, "must be an object"),
            (read.read_shapes, {"@a": "Id"}, "entry 1 must be named with letters"),
            (read.read_shapes, {"-a": "Id"}, "entry 1 must be named with letters"),
            (read.read_shapes, {"a": "Id", "b": ""}, "entry 2 must have a shape of 1 to 4096"),
            (read.read_shapes, {"a": "\u00fc" * 2049}, "entry 1 must have a shape of 1 to 4096"),
            (read.read_shapes, '{"a": "\\ud800"}', "must be valid UTF-8"),
            (read.read_shapes, {"a": "Id", "b": "User..Id"}, "entry 2 must have a shape of dotted"),
            (read.read_shapes, {"a": ","}, "entry 1 must have a shape of dotted"),
            (read.read_ops_token, "spaces in between them", "16 or more ASCII"),
            (read.read_ops_token, "a" * 15, "16 or more ASCII"),
            (read.read_ops_token, "\u00fc" * 16, "16 or more ASCII"),
            (read.read_bind_host, "a b", "must be a host"),
            (read.read_number, True, "must be a number"),
        ],
    )
    def test_refuses(self, reader: Callable[[object], object], value: object, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            reader(value)

    @pytest.mark.parametrize(
        ("text", "host"),
        [("0.0.0.0", "0.0.0.0"), ("::", "::"), ("LOCALHOST", "localhost"), ("::0:1", "::1")],
    )
    def test_bind_hosts(self, text: str, host: str) -> None:
        assert read.read_bind_host(text) == host


toml_scalars = (
    st.text()
    | st.text(alphabet='a1=,:/@*.[]{}"-\ud800')
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.just(datetime(2026, 1, 1, tzinfo=UTC))
)
toml_values = st.recursive(
    toml_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.unmeasured
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: str(reader.__name__))
@given(value=toml_values)
def test_any_value_is_read_or_refused_with_a_reason(
    reader: Callable[[object], object], value: object
) -> None:
    try:
        reader(value)
    except ValueError as error:
        assert type(error) is ValueError
        assert str(error)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: str(reader.__name__))
@given(marks=st.tuples(*[st.text(alphabet='=,:/@*.[]{}"- ', max_size=4)] * 2))
def test_pitfall_6_no_reason_repeats_what_was_given(
    reader: Callable[[object], object], marks: tuple[str, str]
) -> None:
    text = CANARY.join(("", *marks)) + CANARY
    for value in (text, [text, "x"], {text: "x"}, {"x": text}, {"x": {text: text}}):
        try:
            reader(value)
        except ValueError as error:
            assert CANARY not in str(error)


def test_an_url_without_secrets_is_shown_as_it_is() -> None:
    assert str(SecretUrl("embedded://")) == "embedded://"
