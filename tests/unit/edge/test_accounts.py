"""What is counted of many hot answers at once is what each of them counts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.tiered import Tier
from bff.edge.access_log import AccessLog
from bff.edge.accounts import Accounts
from bff.edge.compression import Encoding
from bff.edge.hot_answer import Hot, Served, Setting
from bff.edge.hot_whole import HotWhole, MadeAnswer
from bff.edge.respond import Finished, RepresentationKey
from bff.observe.metrics import Metrics
from bff.resources import PROFILES
from bff.session.documents import Whole
from bff.session.reading import Outcome, Reading
from bff.shape import Columns

Series = tuple[str, tuple[str, ...]]
Shaped = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """What answers differ in. `spared`: bytes that a shape left out, negative where it added."""

    space: str
    is_finished: bool
    body: bytes
    encoded: int
    spared: int
    shape: str


KINDS = st.lists(
    st.builds(
        Kind,
        st.sampled_from(["one", "other"]), st.booleans(), st.binary(max_size=5),
        st.integers(0, 9), st.integers(-3, 3), st.sampled_from(["", "a", "@portal"]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip
# Seconds of which every sum is exact, in whatever order.
SERVED = st.tuples(st.integers(0, 3), st.integers(0, 4_096).map(lambda n: n / 1_024), st.booleans())


class Books:
    """Accounts, and what was heard of shapes."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.metrics = Metrics()
        self.accounts = Accounts(self.metrics, AccessLog())
        self.shaped: dict[Shaped, int] = {}
        self.accounts.on_shaped = self._shaped
        self.hots = [self._hot(kind) for kind in kinds]
        wholes = {space: self._whole(space) for space in ("one", "other")}
        self.made = [
            MadeAnswer(wholes[k.space], b"", k.shape, "", len(k.body), k.encoded, k.spared, "")
            for k in kinds
        ]

    def _shaped(self, space: str, shape: str, size: int, left_out: int, uses: int) -> None:
        key = (space, shape, size, left_out)
        self.shaped[key] = self.shaped.get(key, 0) + uses

    def _hot(self, kind: Kind) -> Hot:
        key = RepresentationKey(
            kind.space, "d", "/session/bootstrap", "", "", "", Encoding.IDENTITY
        )
        counts = self.accounts.counts(key, (), finished=kind.is_finished)
        finished = Finished(
            200, "application/json", Encoding.IDENTITY, kind.body, '"v"', True, 0.0, 60.0,
            kind.encoded, kind.spared, counts, (),
        )  # fmt: skip
        setting = Setting(None, key, finished, 60.0, (), "", self.accounts.writers(key))
        return Hot(key, finished, setting, kind.shape)

    def _whole(self, space: str) -> HotWhole:
        key = RepresentationKey(space, "d", "/session/bootstrap", "", "", "", Encoding.IDENTITY)
        entry = Entry(200, b"{}", 0.0, ())
        reading = Reading(PROFILES, entry, Outcome.HIT, Tier.L1, Freshness(60, 0, 0))
        whole = Whole(key, (PROFILES,), Columns({}), 2, (reading,), 60.0)
        counts = self.accounts.counts(key, whole.readings, finished=False)
        setting = Setting(None, key, whole, 60.0, (), "", self.accounts.writers(key))
        return HotWhole(key, whole, counts, setting)

    def told(self) -> tuple[dict[Series, float], dict[Shaped, int]]:
        counted = {series: value for series, value in self.metrics.counted().items() if value}
        return counted, dict(self.shaped)


@given(KINDS, st.lists(SERVED, max_size=12))
def test_many_answers_are_counted_as_each_alone(
    kinds: Sequence[Kind], served: Sequence[tuple[int, float, bool]]
) -> None:
    alone, together = Books(kinds), Books(kinds)
    by_answer: dict[Hot, list[Served]] = {}
    for which, took_s, modified in served:
        one = (1e9, took_s, "id", "", modified)
        alone.accounts.report({alone.hots[which % len(kinds)]: [one]}, {})
        by_answer.setdefault(together.hots[which % len(kinds)], []).append(one)
    together.accounts.report(by_answer, {})
    assert together.told() == alone.told()


@given(KINDS, st.lists(SERVED, max_size=12))
def test_many_made_answers_are_counted_as_each_alone(
    kinds: Sequence[Kind], served: Sequence[tuple[int, float, bool]]
) -> None:
    alone, together = Books(kinds), Books(kinds)
    by_whole: dict[HotWhole, list[tuple[MadeAnswer, Served]]] = {}
    sizes = 0
    for which, took_s, modified in served:
        one = (1e9, took_s, "id", "", modified)
        made, another = (books.made[which % len(kinds)] for books in (alone, together))
        alone.accounts.report({}, {made.of: [(made, one)]})
        by_whole.setdefault(another.of, []).append((another, one))
        sizes += made.size * modified
    together.accounts.report({}, by_whole)
    assert together.told() == alone.told()
    counted = together.told()[0]
    assert sum(n for (name, _), n in counted.items() if name == "bff_response_bytes") == sizes


def test_an_answer_that_is_sent_whole_and_as_a_304_counts_the_bytes_of_each() -> None:
    books = Books([Kind("one", True, b"12345", 9, 3, "a")])
    served = [(1e9, 0.25, "id", "", modified) for modified in (True, True, False)]
    books.accounts.report({books.hots[0]: served}, {})
    counted, shaped = books.told()
    assert shaped == {("one", "a", 9, 3): 2}
    route = "/session/bootstrap"
    for series, value in {
        ("bff_requests", (route, "one", "200")): 2,
        ("bff_requests", (route, "one", "304")): 1,
        ("bff_bytes_saved", ("one", "shape")): 6,
        ("bff_bytes_saved", ("one", "encoding")): 8,
        ("bff_bytes_saved", ("one", "not_modified")): 5,
        ("bff_not_modified", ("one", route)): 1,
        ("bff_finished_hits", ("one", route)): 3,
    }.items():
        assert counted[series] == value, series
