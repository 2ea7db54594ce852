"""Spaces under texts that nobody would write: names stay apart, hosts lead nowhere else."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnknownHost
from bff.spaces import Origin, Space, SpaceTable

labels = st.sampled_from(["a", "acme", "https", "http", "localhost", "com", "443", "80", "x-1"])
hosts = st.one_of(
    st.lists(labels, min_size=1, max_size=3).map(".".join),
    labels.map(lambda label: f"{label}.spaces.nexudus.com"),
    st.sampled_from(["127.0.0.1", "127.0.0.2", "[::1]", "localhost", "spaces.nexudus.com"]),
)
ports = st.sampled_from(["", ":80", ":443", ":8443", ":1"])
origin_texts = st.builds("{}://{}{}".format, st.sampled_from(["http", "https"]), hosts, ports)


@given(origin_texts, origin_texts)
def test_pitfall_5_different_origins_have_different_names(one: str, other: str) -> None:
    try:
        first, second = Space.parse(one), Space.parse(other)
    except ValueError:
        return
    assert (first.name == second.name) == (first.origin == second.origin)
    assert re.fullmatch("[a-z0-9.:-]+", first.name)


@given(st.text() | origin_texts | st.text(alphabet="aA1.-:/[]@?#% \x00ü"), st.booleans())
def test_any_text_is_a_space_of_https_or_loopback_or_a_valueerror(text: str, slashes: bool) -> None:
    try:
        origin = Space.parse(f"https://{text}" if slashes else text).origin
    except ValueError as error:
        assert type(error) is ValueError
        return
    assert Origin.parse(origin.url) == origin
    assert "." in origin.host or origin.host in {"localhost", "::1"}


TABLE = SpaceTable.parse(
    [
        ("portal.acme.com", "acme"),
        ("portal.beta.com:8443", "beta"),
        ("oaks.gamma-k.com:8443", "beta"),
        ("oaks.gamma-k.com", "gamma"),
        ("127.0.0.1:8001", "http://127.0.0.1:9001"),
    ]
)
LOOKALIKES = {"k": "\u212a", "s": "\u017f", ".": "\u3002", "a": "\uff41", "o": "\u043e", "-": "‐"}


@st.composite
def forged_hosts(draw: st.DrawFn) -> str:
    """A configured host, changed in ways that parsers have been known to disagree about."""
    host = draw(st.sampled_from(sorted(TABLE.by_host)))
    text = "".join(
        draw(st.sampled_from([c, c.upper(), LOOKALIKES.get(c, c)] if draw(st.booleans()) else [c]))
        for c in host
    )
    leads = ["", "x", ".", "user@", "user:pw@", "http://", "evil.example,", " "]
    tails = ["", ".", "..", ":1", ":443", ":8443", ":x", "@evil.example", "\0"]
    lead, tail = draw(st.sampled_from(leads)), draw(st.sampled_from(tails))
    return draw(st.sampled_from([text, lead + text, text + tail, lead + text + tail]))


@given(st.text() | st.text(alphabet=string.printable) | forged_hosts())
def test_pitfall_4_no_text_resolves_but_another_spelling_of_a_configured_host(text: str) -> None:
    try:
        space = TABLE.resolve(text)
    except UnknownHost:
        return
    # Spelled out again without the parser: ASCII case, one dot at the end, a port.
    host, _, port = text.rpartition(":") if re.search(r":\d+$", text) else (text, "", "")
    plain = host.removesuffix(".").lower()
    assert text.isascii()
    assert space in {TABLE.by_host.get(plain), TABLE.by_host.get(f"{plain}:{port}")}
