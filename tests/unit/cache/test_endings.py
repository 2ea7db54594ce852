"""What processes say to each other of how a flight ended."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache.endings import Ending, Failed, Nothing, Stored, Unshared, decode, encode
from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout

KINDS: tuple[type[UpstreamError], ...] = (
    UnusableAnswer,
    UpstreamDown,
    UpstreamTimeout,
    Overloaded,
)
SECONDS = st.none() | st.integers(0, 86_400)
ENDINGS: st.SearchStrategy[Ending] = st.one_of(
    st.just(Stored()),
    st.just(Nothing()),
    st.just(Unshared()),
    st.builds(Failed, st.sampled_from(KINDS).map(lambda kind: kind.__name__), st.just(0), SECONDS),
    st.builds(Failed, st.just(""), st.integers(400, 599), SECONDS),
)
JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text(max_size=3),
    st.just([1]), st.just({"end": "stored"}),
)  # fmt: skip


@given(ENDINGS)
def test_every_ending_arrives_as_it_was_sent(ending: Ending) -> None:
    assert decode(orjson.loads(orjson.dumps(encode(ending)))) == ending


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "end": JSON | st.sampled_from(["stored", "failed", "nothing", "unshared"]),
            "error": JSON | st.sampled_from(["UpstreamDown", "BffError", "UpstreamError"]),
            "status": JSON | st.integers(0, 700),
            "after_s": JSON,
        },
    )
)
def test_nothing_is_believed_that_no_process_says(members: dict[str, object]) -> None:
    match decode(members):
        case Failed() as failed:
            assert members["end"] == "failed"
            assert failed.error in {kind.__name__ for kind in KINDS} or 400 <= failed.status < 600
            assert failed.retry_after_s is None or 0 <= failed.retry_after_s <= 86_400
            assert isinstance(failed.as_error(), KINDS)
        case Stored():
            assert members["end"] == "stored"
        case Unshared():
            assert members["end"] == "unshared"
        case Nothing():
            pass


@pytest.mark.parametrize("kind", KINDS)
def test_pitfall_6_an_error_crosses_without_its_message(kind: type[UpstreamError]) -> None:
    told = Failed.of(kind("CANARY", retry_after_s=3))
    assert b"CANARY" not in orjson.dumps(encode(told))
    again = told.as_error()
    assert type(again) is kind
    assert again.retry_after_s == 3
    assert "CANARY" not in str(again)


@pytest.mark.parametrize(
    ("status", "kind"), [(409, Overloaded), (429, Overloaded), (500, UpstreamDown)]
)
def test_a_status_becomes_the_error_it_means(status: int, kind: type[UpstreamError]) -> None:
    again = Failed(status=status, retry_after_s=5).as_error()
    assert type(again) is kind
    assert again.retry_after_s == 5


def test_an_error_of_another_version_is_an_upstream_that_is_down() -> None:
    assert type(Failed("Unheard", 503).as_error()) is UpstreamDown
