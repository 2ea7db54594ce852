"""How long one entry is fresh."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.session.reading import Policy

GOOD, NEGATIVE = Freshness(60, 300, 3600), Freshness(30, 0, 0)


def entry(fetched_at: float, tag: str = "u:1", status: int = 200) -> Entry:
    return Entry(status, b"{}", fetched_at, (tag,))


@given(st.floats(0, 4e9), st.sampled_from(["u:1", "c:101"]), st.floats(0, 0.5))
def test_jitter_only_ever_shortens_and_is_the_same_for_everybody(
    fetched_at: float, tag: str, jitter: float
) -> None:
    policy = Policy(GOOD, NEGATIVE, jitter)
    numbers = policy.of(entry(fetched_at, tag))

    assert GOOD.fresh_s * (1 - jitter) <= numbers.fresh_s <= GOOD.fresh_s
    assert numbers == Policy(GOOD, NEGATIVE, jitter).of(entry(fetched_at, tag))
    assert (numbers.stale_s, numbers.error_s) == (GOOD.stale_s, GOOD.error_s)


def test_what_was_filled_together_does_not_expire_together() -> None:
    policy = Policy(GOOD, NEGATIVE, 0.1)
    ends = sorted(policy.of(entry(1_800_000_000.0, f"u:{n}")).fresh_s for n in range(1_000))

    assert ends[0] < 54.1
    assert ends[-1] > 59.9
    for tenth in range(10):  # no second of the six takes much more than its share
        part = [end for end in ends if 54 + tenth * 0.6 <= end < 54 + (tenth + 1) * 0.6]
        assert 60 < len(part) < 140


def test_negative_answers_have_their_own_numbers() -> None:
    assert Policy(GOOD, NEGATIVE).of(entry(0, status=404)) == NEGATIVE
