"""Minutes of counts: exact, whatever happens between the counting and the adding up."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bff.observe.catalogue import CATALOGUE, LATENCY_BUCKETS_S
from bff.observe.journal import ShapeUse
from bff.ops.fleet.minutes import (
    COUNTERS,
    HISTOGRAMS,
    LABELS,
    MOST_PLAIN,
    OTHERS,
    SHAPES,
    Counts,
    Series,
    Sum,
    UnreadableRecord,
    by_label,
    by_labels,
    decode,
    encode,
    fitting,
    of_space,
    quantile,
    taken,
    total,
    used,
    watched,
)
from bff.ops.fleet.tally import KEPT, MOST_SHAPES, Tally, Told
from bff.ops.summary.hour import Hour

LE: Final = (*(repr(float(bound)) for bound in LATENCY_BUCKETS_S), "+Inf")
REQUESTS: Final[tuple[Series, ...]] = (
    ("bff_requests", ("/session/bootstrap", "acme", "200")),
    ("bff_requests", ("/session/bootstrap", "zeta", "503")),
    ("bff_throttled", ("acme",)),
    ("bff_comparisons", ("acme", "equal")),
)
TIMED: Final = (("bff_request_seconds", ("forwarded", "acme")), ("bff_upstream_seconds", ("x",)))


class Source:
    """Counters of a process as they are exposed, with those that no minute holds among them."""

    def __init__(self) -> None:
        self.counters: dict[Series, float] = {}
        self.timed: dict[Series, list[int]] = {}

    def count(self, series: Series, more: int) -> None:
        self.counters[series] = self.counters.get(series, 0.0) + more

    def time(self, series: Series, bucket: int) -> None:
        self.timed.setdefault(series, [0] * len(LE))[bucket] += 1

    def counted(self) -> Mapping[Series, float]:
        found = dict(self.counters)
        for (name, labels), buckets in self.timed.items():
            for at, le in enumerate(LE):
                found[f"{name}_bucket", (*labels, le)] = float(sum(buckets[: at + 1]))
            found[f"{name}_count", labels] = float(sum(buckets))
            found[f"{name}_sum", labels] = 0.1 * sum(buckets)
        return found

    def expected(self) -> Counts:
        """As minutes should hold it, told apart without their code."""
        found: dict[str, dict[str, int]] = {}
        for (name, labels), value in self.counters.items():
            if name in COUNTERS and value:
                found.setdefault(name, {})["\n".join(labels)] = int(value)
        for (name, labels), buckets in self.timed.items():
            for le, count in zip(LE, buckets, strict=True):
                if count:
                    found.setdefault(name, {})["\n".join((*labels, le))] = count
        return found


def without_nothing(counts: Counts) -> dict[str, dict[str, int]]:
    return {name: dict(of) for name, of in counts.items() if of}


@dataclass
class Process:
    """One that counts and tells. `arrived`: what the store holds of it."""

    name: str
    tally: Tally
    source: Source = field(default_factory=Source)
    arrived: Counts = field(default_factory=dict)


class Play:
    """Two processes and a store, on one clock; processes are killed, tellings are lost."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.number = 0
        self.store: dict[int, dict[str, bytes]] = {}
        self.known: set[str] = set()
        self.gone: list[Process] = []
        self.processes = [self.started(), self.started()]

    def started(self) -> Process:
        self.number += 1
        return Process(f"p{self.number}", Tally(self.now))

    def tick(self, at: int, *, arrives: bool, heard: bool) -> None:
        process = self.processes[at]
        process.tally.take(process.source.counted(), (), self.now)
        news = process.tally.untold(KEPT)
        if not arrives:
            return
        known = process.name in self.known
        for each in news:
            self.store.setdefault(each.minute, {})[process.name] = each.record
        self.known.add(process.name)
        process.arrived = Sum(*self.records(process.name)).counts
        if heard:
            process.tally.told(news)
            if not known:
                process.tally.forgotten()

    def records(self, name: str) -> list[Counts]:
        return [decode(of[name]) for of in self.store.values() if name in of]

    def kill(self, at: int) -> None:
        self.gone.append(self.processes[at])
        self.processes[at] = self.started()

    def lose(self) -> None:
        self.store, self.known = {}, set()
        for process in (*self.gone, *self.processes):
            process.arrived = {}

    def end(self) -> None:
        for at in (0, 1):
            for _ in range(2):  # the store may have been lost just before
                self.tick(at, arrives=True, heard=True)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("count"), st.integers(0, 1), st.sampled_from(REQUESTS), st.integers(0, 9)
        ),
        st.tuples(
            st.just("time"), st.integers(0, 1), st.sampled_from(TIMED), st.integers(0, len(LE) - 1)
        ),
        st.tuples(st.just("pass"), st.floats(0.0, 90.0)),
        st.tuples(st.just("tick"), st.integers(0, 1), st.booleans(), st.booleans()),
        st.tuples(st.just("kill"), st.integers(0, 1)),
        st.tuples(st.just("lose")),
    ),
    max_size=30,
)


@pytest.mark.unmeasured
@example([("count", 0, REQUESTS[0], 1), ("tick", 0, True, True), ("lose",)])
@example([("count", 1, REQUESTS[0], 1), ("tick", 1, True, False), ("lose",), ("kill", 1)])
@settings(max_examples=300)
@given(STEPS)
def test_nothing_counts_twice_and_nothing_is_lost_but_what_the_killed_had_not_told(
    steps: list[tuple[object, ...]],
) -> None:
    play = Play()
    for step in steps:
        match step:
            case "count", int(at), (str() as name, tuple() as labels), int(more):
                play.processes[at].source.count((name, labels), more)
            case "time", int(at), (str() as name, tuple() as labels), int(bucket):
                play.processes[at].source.time((name, labels), bucket)
            case "pass", float(seconds):
                play.now += seconds
            case "tick", int(at), bool(arrives), bool(heard):
                play.tick(at, arrives=arrives, heard=heard)
            case "kill", int(at):
                play.kill(at)
            case ("lose",):
                play.lose()
            case _:
                raise AssertionError(step)
    play.end()
    live = [process.source.expected() for process in play.processes]
    expected = Sum(*live, *(process.arrived for process in play.gone)).counts
    hour = Hour()
    for minute, records in play.store.items():
        hour.put(minute, "1", records.values())
    assert without_nothing(hour.counts) == without_nothing(expected)


def test_counts_are_of_the_minute_in_which_their_interval_began() -> None:
    source, tally = Source(), Tally(60_000.0)
    for now, more in ((60_058.0, 1), (60_060.0, 10), (60_062.0, 100)):
        source.count(REQUESTS[0], more)
        tally.take(source.counted(), (), now)
    records = {minute: decode(record) for minute, (_, record) in tally.records().items()}
    assert {minute: total(of, "bff_requests") for minute, of in records.items()} == {
        1000: 11,
        1001: 100,
    }


def test_a_clock_that_is_put_back_goes_on_with_the_minute_that_was() -> None:
    source, tally = Source(), Tally(60_059.0)
    for now in (60_061.0, 60_063.0, 60_058.0, 60_059.0, 60_061.0):
        source.count(REQUESTS[0], 1)
        tally.take(source.counted(), (), now)
    records = {minute: decode(record) for minute, (_, record) in tally.records().items()}
    assert {minute: total(of, "bff_requests") for minute, of in records.items()} == {
        1000: 3,
        1001: 2,
    }


def test_minutes_are_told_newest_first_and_kept_for_an_hour() -> None:
    source, tally = Source(), Tally(0.0)
    for minute in range(100):
        source.count(REQUESTS[0], 1)
        tally.take(source.counted(), (), minute * 60 + 30.0)
    source.count(REQUESTS[0], 1)
    tally.take(source.counted(), (), 99 * 60 + 31.0)
    assert [each.minute for each in tally.untold(3)] == [99, 98, 97]
    assert len(tally.records()) == KEPT
    tally.told([Told(99, b"", 0), *tally.untold(1000)[1:]])
    assert [each.minute for each in tally.untold(3)] == [99]
    tally.forgotten()
    assert len(tally.untold(1000)) == KEPT


def test_what_was_counted_while_it_was_told_is_told_again() -> None:
    source, tally = Source(), Tally(0.0)
    source.count(REQUESTS[0], 1)
    tally.take(source.counted(), (), 1.0)
    sent = tally.untold(1)
    source.count(REQUESTS[0], 1)
    tally.take(source.counted(), (), 2.0)
    tally.told(sent)
    assert total(decode(tally.untold(1)[0].record), "bff_requests") == 2
    tally.told(tally.untold(1))
    assert tally.untold(1) == []


def test_a_counter_that_began_anew_counts_from_nothing() -> None:
    before, after = {REQUESTS[0]: 5}, {REQUESTS[0]: 3}
    assert taken(before, after) == {"bff_requests": {"/session/bootstrap\nacme\n200": 3}}


def test_only_the_most_used_shapes_of_a_minute_are_kept() -> None:
    tally = Tally(0.0)
    uses = [ShapeUse("acme", f"Id,a{at}", at, 10 * at, at) for at in range(1, 40)]
    tally.take({}, uses, 1.0)
    tally.take({}, [ShapeUse("acme", "Id,a1", 100, 1, 1)], 2.0)
    kept = decode(tally.untold(1)[0].record)
    assert len(kept["shape_uses"]) == len(kept["shape_bytes"]) == MOST_SHAPES
    assert kept["shape_uses"]["acme\nId,a1"] == 101
    assert kept["shape_bytes"]["acme\nId,a1"] == 11


@given(st.text(max_size=20))
def test_a_shape_may_hold_anything(shape: str) -> None:
    counts = decode(encode(used([ShapeUse("acme", shape, 2, 3, 4)])))
    shown = shape.encode("utf-8", "replace").decode()
    assert by_labels(counts, "shape_bytes", "space", "shape") == {("acme", shown): 3}


def labelled(name: str) -> st.SearchStrategy[str]:
    values = [
        st.sampled_from(LE)
        if label == "le"
        else st.sampled_from(("acme", "zeta", "x", "y"))
        if label == "space"
        else st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=5)
        for label in LABELS[name]
    ]
    return st.tuples(*values).map("\n".join)


COUNTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.dictionaries(labelled(name), st.integers(1, 2**40), max_size=4)
        for name in ("bff_requests", "bff_request_seconds", "bff_store_errors", "shape_uses")
    },
)


@given(COUNTS)
def test_a_record_is_read_as_it_was_written(counts: Counts) -> None:
    assert decode(encode(counts)) == counts


@given(COUNTS, COUNTS)
def test_what_is_added_can_be_taken_away(one: Counts, other: Counts) -> None:
    both = Sum(one, other)
    both.take_away(other)
    assert without_nothing(both.counts) == without_nothing(one)


@given(COUNTS)
def test_spaces_add_up_to_all(counts: Counts) -> None:
    spaces = {space for name in ("bff_requests", "bff_request_seconds", "shape_uses")
              for space in by_label(counts, name, "space")}  # fmt: skip
    apart = Sum(*(of_space(counts, space) for space in spaces)).counts
    for name in ("bff_requests", "bff_request_seconds", "shape_uses"):
        assert apart.get(name, {}) == counts.get(name, {})
    for space in spaces:
        assert of_space(counts, space).get("bff_store_errors") == counts.get("bff_store_errors")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no json"),
        zlib.compress(b"[]"),
        zlib.compress(b"{}"),
        zlib.compress(orjson.dumps({"v": 2, "counts": {}})),
        zlib.compress(orjson.dumps({"v": 1, "counts": {"bff_throttled": 1}})),
        zlib.compress(orjson.dumps({"v": 1, "counts": {"bff_throttled": {"acme": "1"}}})),
        zlib.compress(orjson.dumps({"v": 1, "counts": {"bff_throttled": {"acme": True}}})),
        zlib.compress(orjson.dumps({"v": 1, "counts": {"bff_requests": {"acme": 1}}})),
        zlib.compress(orjson.dumps({"v": 1, "counts": {"bff_store_seconds": {"get\n0.3": 1}}})),
        zlib.compress(b"[" + b" " * MOST_PLAIN + b"]"),
        encode({"bff_throttled": {"acme": 1}})[:-1],
    ],
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(record)


def test_what_a_newer_gateway_counts_besides_is_left_out() -> None:
    assert decode(encode({"bff_news": {"x": 1}, "bff_throttled": {"acme": 1}})) == {
        "bff_throttled": {"acme": 1}
    }


def test_a_record_without_room_loses_names_but_no_counts() -> None:
    requests = {f"forwarded\nspace-{at}-{at * 7919 % 1013}\n200": at for at in range(2_000)}
    shapes = used(ShapeUse("acme", f"@{at}", 1, 1, 1) for at in range(100))
    record = fitting({"bff_requests": requests, "bff_store_errors": {"get": 1}, **shapes}, 4_000)
    assert len(record) <= 4_000
    found = decode(record)
    assert total(found, "bff_requests") == sum(requests.values())
    assert total(found, "bff_store_errors") == 1
    assert not found.keys() & set(SHAPES)
    spaces = by_label(found, "bff_requests", "space")
    assert spaces[f"space-1999-{1999 * 7919 % 1013}"] == 1999, "the busiest keep their names"
    assert spaces[OTHERS] > 0


def test_a_record_that_has_room_is_whole() -> None:
    counts = {"bff_throttled": {"acme": 1}, **used([ShapeUse("acme", "@m", 1, 1, 1)])}
    assert decode(fitting(counts)) == counts


def reference_quantile(counts: list[int], q: float) -> float:
    """PromQL's `histogram_quantile`, as its documentation puts it."""
    bounds = [*LATENCY_BUCKETS_S, float("inf")]
    cumulative = [sum(counts[: at + 1]) for at in range(len(counts))]
    rank = q * cumulative[-1]
    at = next(
        (index for index in range(len(bounds) - 1) if cumulative[index] >= rank), len(bounds) - 1
    )
    if at == len(bounds) - 1:
        return bounds[-2]
    start = bounds[at - 1] if at else 0.0
    below = cumulative[at - 1] if at else 0
    return start + (bounds[at] - start) * (rank - below) / (cumulative[at] - below)


@given(
    st.lists(st.integers(0, 50), min_size=len(LE), max_size=len(LE)).filter(any),
    st.sampled_from((0.01, 0.5, 0.95, 0.99, 1.0)),
)
def test_percentiles_are_those_of_promql(counts: list[int], q: float) -> None:
    sparse = {le: count for le, count in zip(LE, counts, strict=True) if count}
    found = quantile(sparse, q)
    assert found is not None
    assert found == pytest.approx(reference_quantile(counts, q))


def test_nothing_timed_has_no_percentile() -> None:
    assert quantile({}, 0.5) is None


def test_every_name_is_of_the_catalogue() -> None:
    assert {row.name for row in CATALOGUE} >= COUNTERS | HISTOGRAMS
    assert watched({("bff_requests_total", ()): 1.0, ("bff_l1_bytes", ()): 1.0}) == {}


def test_what_another_version_counts_is_of_no_space() -> None:
    counts = {"bff_of_tomorrow": {"acme": 1}, "bff_throttled": {"acme": 2, "beta": 3}}
    assert of_space(counts, "acme") == {"bff_throttled": {"acme": 2}}
