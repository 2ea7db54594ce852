"""What a request says of the trace that it belongs to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.observe.trace_context import MOST_STATE, Parent, parent_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
HEX = st.sampled_from("0123456789abcdef")


def of(*headers: tuple[str, str]) -> Parent | None:
    return parent_of([(name.encode(), value.encode("latin-1")) for name, value in headers])


def ids(length: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=length, max_size=length).filter(lambda text: text.strip("0"))


@given(ids(32), ids(16), st.integers(0, 255))
def test_a_wellformed_parent_is_understood(trace: str, span: str, flags: int) -> None:
    expected = Parent(trace, span, sampled=flags % 2 == 1)
    assert of(("host", "x"), ("traceparent", f"00-{trace}-{span}-{flags:02x}")) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0G",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_a_malformed_parent_is_none(value: str) -> None:
    assert of(("traceparent", value), ("tracestate", "a=1")) is None


def test_a_later_version_may_say_more() -> None:
    assert of(("traceparent", f"cc-{TRACE}-{SPAN}-01-what-comes")) == Parent(TRACE, SPAN, True)
    assert of(("traceparent", f" cc-{TRACE}-{SPAN}-00\t")) == Parent(TRACE, SPAN, False)


def test_two_parents_are_none() -> None:
    parent = ("traceparent", f"00-{TRACE}-{SPAN}-01")
    assert of(parent) is not None
    assert of(parent, parent) is None
    assert of() is None


def test_the_state_of_a_recorded_trace_is_kept_whole_or_not_at_all() -> None:
    recorded, unrecorded = (("traceparent", f"00-{TRACE}-{SPAN}-0{flag}") for flag in "10")

    def state(*values: str, parent: tuple[str, str] = recorded) -> str:
        found = of(parent, *(("tracestate", value) for value in values))
        assert found is not None
        return found.state

    assert state("a=1", " b=2 ") == "a=1,b=2"
    assert state("a=1", parent=unrecorded) == ""
    assert state("a=é") == ""
    assert state("a=" + "x" * (MOST_STATE - 2)) != ""
    assert state("a=" + "x" * (MOST_STATE - 1)) == ""


@pytest.mark.unmeasured
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"traceparent", b"tracestate", b"host"]),
            st.binary(max_size=80)
            | st.from_regex(rb"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.?\Z"),
        ),
        max_size=4,
    )
)
def test_whatever_comes_only_ids_are_believed(headers: list[tuple[bytes, bytes]]) -> None:
    found = parent_of(headers)
    if found is not None:
        assert re.fullmatch("[0-9a-f]{32}", found.trace_id)
        assert re.fullmatch("[0-9a-f]{16}", found.span_id)
        assert sum(name == b"traceparent" for name, _ in headers) == 1
        assert found.state.isprintable() or "\t" in found.state
