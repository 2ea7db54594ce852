"""Origins, space names, and which space a Host header leads to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnknownHost
from bff.spaces import Origin, Space, SpaceTable, join_authority, parse_authority

CANARY = "hunter2canary"


class TestAuthority:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("Portal.ACME.com", "portal.acme.com", None),
            ("portal.acme.com.", "portal.acme.com", None),
            ("portal.acme.com.:8443", "portal.acme.com", 8443),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[0:0::1]:65535", "::1", 65535),
            ("[FD00::A]", "fd00::a", None),
            ("1337.acme.com", "1337.acme.com", None),
        ],
    )
    def test_reads_host_and_port(self, text: str, host: str, port: int | None) -> None:
        assert parse_authority(text) == (host, port)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "must be a host"),
            ("a b", "must be a host"),
            ("a@b", "must be a host"),
            ("a,b", "must be a host"),
            ("a/b", "must be a host"),
            ("a\n", "must be a host"),
            ("a:", "must be a host"),
            ("a:+80", "must be a host"),
            ("a:80:80", "must be a host"),
            ("::1", "must be a host"),
            ("a_b.com", "must be a host"),
            ("a:0", "port from 1 to 65535"),
            ("a:65536", "port from 1 to 65535"),
            ("[::g]", "must be a host"),
            ("[1::2::3]", "IPv6"),
            (".", "labels"),
            ("a..b", "labels"),
            ("a..", "labels"),
            (".a", "labels"),
            ("-a.com", "labels"),
            ("a-.com", "labels"),
            ("a" * 64 + ".com", "labels"),
            (".".join(["a" * 49] * 6), "labels"),
            ("127.1", "IPv4"),
            ("2130706433", "IPv4"),
            ("0x7f.1", "IPv4"),
            ("127.0.0.0x1", "IPv4"),
            ("127.0.0.01", "IPv4"),
            ("1.2.3.256", "IPv4"),
            ("münchen.de", "xn--"),
            ("acme.com:٤٤٣", "xn--"),
        ],
    )
    def test_refuses_with_a_reason(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            parse_authority(text)

    @given(st.text(alphabet="ab.-:[]01x", max_size=12))
    def test_what_it_reads_it_writes_and_reads_again(self, text: str) -> None:
        try:
            host, port = parse_authority(text)
        except ValueError:
            return
        assert parse_authority(join_authority(host, port)) == (host, port)


class TestOrigin:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("https://acme.spaces.nexudus.com", "https://acme.spaces.nexudus.com"),
            ("HTTPS://Acme.Spaces.Nexudus.Com:443/", "https://acme.spaces.nexudus.com"),
            ("https://nexudus.example:8443", "https://nexudus.example:8443"),
            ("https://nexudus.example:80", "https://nexudus.example:80"),
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("http://127.8.9.1/", "http://127.8.9.1"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:9001", "http://[::1]:9001"),
            ("https://[::1]", "https://[::1]"),
        ],
    )
    def test_accepts_https_anywhere_and_http_on_loopback(self, text: str, url: str) -> None:
        origin = Origin.parse(text)
        assert origin.url == url
        assert Origin.parse(origin.url) == origin

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("acme.spaces.nexudus.com", "must begin with https://"),
            ("//acme.com", "must begin with https://"),
            ("ftp://acme.com", "must begin with https://"),
            (" https://acme.com", "must begin with https://"),
            (f"{CANARY}:x@https://acme.com", "must begin with https://"),
            (f"https://user:{CANARY}@acme.com", "user name or password"),
            ("https://@acme.com", "user name or password"),
            ("https://acme.com?x=1", "query"),
            ("https://acme.com/#x", "query or a fragment"),
            ("https://acme.com/api", "path"),
            ("https://acme.com//", "path"),
            ("https://acme.com\\api", "path"),
            ("https://", "must be a host"),
            ("https:///", "must be a host"),
            ("https://acme.com:99999", "port"),
            ("https://bücher.example", "xn--"),
            ("http://acme.spaces.nexudus.com", "must be https"),
            ("http://localhost.acme.com", "must be https"),
            ("https://nexudus", "full host name"),
        ],
    )
    def test_refuses_with_a_reason(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason) as caught:
            Origin.parse(text)
        assert CANARY not in str(caught.value)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        "host",
        [
            "169.254.169.254",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "8.8.8.8",
            "[fe80::1]",
            "[fd00::1]",
            "[::]",
            "[2001:db8::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
        ],
    )
    def test_pitfall_17_an_address_other_than_loopback_is_refused(
        self, scheme: str, host: str
    ) -> None:
        with pytest.raises(ValueError, match="only loopback is accepted"):
            Origin.parse(f"{scheme}://{host}")


class TestSpace:
    @pytest.mark.parametrize("text", ["acme", "ACME", "acme.spaces.nexudus.com"])
    def test_a_slug_and_its_host_are_the_same_space(self, text: str) -> None:
        origin = Origin("https", "acme.spaces.nexudus.com", 443)
        assert Space.parse(text) == Space("acme", origin)
        assert Space.parse(text) == Space.parse("https://Acme.spaces.nexudus.com./")

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("1337", "1337"),
            ("localhost", "localhost"),
            ("https://nexudus.example", "nexudus.example"),
            ("https://spaces.nexudus.com", "spaces.nexudus.com"),
            ("https://a.b.spaces.nexudus.com", "a.b.spaces.nexudus.com"),
            ("https://acme.spaces.nexudus.com:8443", "acme.spaces.nexudus.com:8443"),
            ("http://127.0.0.1:9001", "127.0.0.1:9001"),
            ("https://127.0.0.1:9001", "https:127.0.0.1:9001"),
            ("http://localhost", "localhost:80"),
            ("http://[::1]:9001", "::1:9001"),
        ],
    )
    def test_names(self, text: str, name: str) -> None:
        assert Space.parse(text).name == name

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "acme.",
            "-acme",
            "ac me",
            "acme.com",
            "spaces.nexudus.com",
            "a.b.spaces.nexudus.com",
            "acme.spaces.nexudus.com:443",
            "acme.spaces.nexudus.com.evil.example",
            "127.0.0.1",
            "[::1]",
            "\u212aafe",  # KELVIN SIGN, whose lower case is an ASCII k
            "user@acme",
            "http://acme.spaces.nexudus.com",
        ],
    )
    def test_refuses_anything_else(self, text: str) -> None:
        with pytest.raises(ValueError, match="must"):
            Space.parse(text)


TABLE = SpaceTable.parse(
    [
        ("Portal.Acme.com.", "acme"),
        ("members.acme.com", "acme.spaces.nexudus.com"),
        ("portal.beta.com:8443", "beta"),
        ("portal.beta.com:9443", "gamma"),
        ("portal.gamma.com:8443", "beta"),
        ("portal.gamma.com", "gamma"),
        ("127.0.0.1:8001", "http://127.0.0.1:9001"),
        ("[::1]", "http://127.0.0.1:9002"),
    ]
)
ACME, BETA, GAMMA = (Space.parse(slug) for slug in ("acme", "beta", "gamma"))


class TestSpaceTable:
    @pytest.mark.parametrize(
        ("host", "space"),
        [
            ("portal.acme.com", ACME),
            ("PORTAL.acme.COM", ACME),
            ("portal.acme.com.", ACME),
            ("portal.acme.com:443", ACME),
            ("portal.acme.com.:31337", ACME),
            ("members.acme.com", ACME),
            ("portal.beta.com:8443", BETA),
            ("portal.beta.com:9443", GAMMA),
            ("portal.gamma.com:8443", BETA),
            ("portal.gamma.com:8444", GAMMA),
            ("portal.gamma.com", GAMMA),
            ("[0:0:0:0:0:0:0:1]:8443", Space.parse("http://127.0.0.1:9002")),
        ],
    )
    def test_resolves_a_configured_host(self, host: str, space: Space) -> None:
        assert TABLE.resolve(host) == space

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "acme",
            "acme.spaces.nexudus.com",
            "portal.beta.com",
            "portal.beta.com:443",
            "portal.acme.com..",
            "portal.acme.com:0",
            "portal.acme.com:",
            "portal.acme.com:99999",
            "portal.acme.com:443:443",
            "portal.acme.com:４４３",
            "portal.acme.com@evil.example",
            "evil.example@portal.acme.com",
            "user:pw@portal.acme.com",
            "portal.acme.com/",
            "portal.acme.com, evil.example",
            "evil.example, portal.acme.com",
            " portal.acme.com",
            "portal.acme.com\r\n",
            "portal.acme.com\x00",
            "portal.acme.com.evil.example",
            "xportal.acme.com",
            "portal。acme.com",
            "portal.ac\u043ce.com",
            "127.0.0.1",
            "127.0.0.1:8002",
            "127.1:8001",
            "::1",
            "https://portal.acme.com",
        ],
    )
    def test_pitfall_4_a_forged_host_is_unknown(self, host: str) -> None:
        with pytest.raises(UnknownHost) as caught:
            TABLE.resolve(host)
        assert host == "" or host not in str(caught.value)

    def test_lists_every_space_once_and_finds_it_by_name(self) -> None:
        names = [space.name for space in TABLE.spaces]
        assert names == ["acme", "beta", "gamma", "127.0.0.1:9001", "127.0.0.1:9002"]
        assert all(TABLE.by_name(space.name) is space for space in TABLE.spaces)
        with pytest.raises(KeyError):
            TABLE.by_name("delta")

    @given(st.text())
    def test_pitfall_4_a_single_space_takes_every_host(self, host: str) -> None:
        table = SpaceTable.single(ACME)
        assert table.resolve(host) is ACME
        assert table.spaces == (ACME,)
        assert table.by_name("acme") is ACME

    def test_every_entry_at_fault_is_named_at_once(self) -> None:
        entries = [
            ("a.com", "acme"),
            (f"user:{CANARY}@b.com", "acme"),
            ("c.com", f"https://user:{CANARY}@c.com"),
            ("A.com", "beta"),
            ("d.com:443", "acme"),
        ]
        with pytest.raises(ValueError, match="entry 2") as caught:
            SpaceTable.parse(entries)
        assert str(caught.value).split("; ") == [
            "entry 2: its public host must be a host, or host:port",
            "entry 3: its space must not hold a user name or password",
            "entry 4: its public host is that of an earlier entry",
            "entry 5: its public host must leave out port 443 or 80, as browsers do",
        ]
        assert CANARY not in str(caught.value)

    def test_an_empty_table_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one host"):
            SpaceTable.parse([])
