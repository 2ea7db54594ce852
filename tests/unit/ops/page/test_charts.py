"""Pictures of a Snapshot: readable by every parser and by those who do not see them, and true."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as Tree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.ops.figures import Happening, Latency, Minute, ResourceFigures, Snapshot, Window
from bff.ops.page import charts as pictures
from bff.ops.page.charts import (
    MARKS,
    MOST_WINDOWS,
    budget,
    charts,
    events,
    last_hour,
    latency,
    reads,
)
from bff.ops.page.drawing import MINUTES, STEP, TALL, Scale, band, bars, counting, legal, line
from tests.support.ops_figures import HOSTILE, NOW, an_hour, healthy, hostile, outage

COUNTS = st.integers(0, 10**7)
TIMES = st.none() | st.floats(0, 1e6)
LATENCIES = st.builds(Latency, TIMES, TIMES, TIMES)
MINUTE = st.builds(
    Minute,
    at=st.integers(-90, 5).map(lambda ago: NOW // 60 * 60 + 60 * ago),
    requests=COUNTS,
    failed=COUNTS,
    bootstraps=COUNTS,
    bootstraps_cached=COUNTS,
    calls=COUNTS,
    calls_saved=COUNTS,
    throttled=COUNTS,
    latency=LATENCIES,
)
PAIRS = st.lists(st.tuples(st.sampled_from(("l1", "l2", "upstream", "odd")), COUNTS)).map(tuple)
SNAPSHOTS = st.builds(
    lambda minutes, resources, budget, events: replace(
        healthy(), minutes=minutes, resources=resources, budget=budget, events=events
    ),
    st.lists(MINUTE).map(tuple),
    st.lists(
        st.builds(ResourceFigures, st.text(), COUNTS, st.none() | st.floats(0, 1), PAIRS, PAIRS),
        max_size=4,
    ).map(tuple),
    st.lists(st.builds(Window, st.text(), st.text(), COUNTS, COUNTS), max_size=12).map(tuple),
    st.lists(
        st.builds(
            Happening,
            st.floats(NOW - 5_000, NOW + 500),
            st.text(),
            st.sampled_from(("throttled", "store", "operator", "unheard-of")),
            st.text(),
            st.text(),
        )
    ).map(tuple),
)
LOCAL = {"svg", "title", "desc", "line", "text", "path", "rect"}


def parsed(text: str) -> Tree.Element:
    """As a browser does: strictly. What is encoded must be UTF-8."""
    return Tree.fromstring(text.encode())


def names(drawn: Tree.Element) -> set[str]:
    return {each.tag.removeprefix("{http://www.w3.org/2000/svg}") for each in drawn.iter()}


@pytest.mark.unmeasured
@given(SNAPSHOTS)
def test_every_picture_is_svg_that_says_what_it_shows(snapshot: Snapshot) -> None:
    for name, text in charts(snapshot).items():
        drawn = parsed(text)
        assert drawn.get("role") == "img"
        title, description = list(drawn)[:2]
        assert drawn.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.get("id") == f"{name}-title"
        assert title.text
        assert description.text
        assert names(drawn) <= LOCAL


@given(SNAPSHOTS)
def test_pictures_have_classes_and_no_style_script_or_link(snapshot: Snapshot) -> None:
    for text in charts(snapshot).values():
        attributes = {name for each in parsed(text).iter() for name in each.attrib}
        assert not {name for name in attributes if name.startswith("on") or ":" in name}
        assert not attributes & {"style", "href", "src", "fill", "stroke"}


@pytest.mark.unmeasured
@given(SNAPSHOTS)
def test_nothing_lies_outside_of_its_picture(snapshot: Snapshot) -> None:
    for text in charts(snapshot).values():
        for each in parsed(text).iter():
            for y in re.findall(r"[ V](-?[\d.]+)", each.get("d", "")):
                assert 0 <= float(y) <= TALL
            for name in ("x", "width", "x1", "x2"):
                value = each.get(name, "0")
                assert not value.endswith("%") or 0 <= float(value[:-1]) <= 100.5


def test_what_members_send_is_text_and_nothing_else() -> None:
    """Shapes, routes and the like may hold anything, characters that XML forbids included."""
    drawn = [parsed(text) for text in charts(hostile()).values()]
    assert set().union(*map(names, drawn)) <= LOCAL
    shown = [each.text or "" for root in drawn for each in root.iter()]
    assert sum(legal(HOSTILE) in text for text in shown) >= 3
    assert not any("<script" in text or "<img" in text for text in charts(hostile()).values())


@given(st.text())
def test_legal_text_stays_as_it_is(text: str) -> None:
    kept = legal(text)
    assert len(kept) == len(text)
    assert all(a in (b, "\ufffd") for a, b in zip(kept, text, strict=True))
    element = Tree.Element("x")
    element.text = kept
    again = Tree.fromstring(Tree.tostring(element, encoding="unicode").encode()).text or ""
    assert again == kept.replace("\r\n", "\n").replace("\r", "\n")


def test_the_hour_ends_with_the_minute_under_way() -> None:
    hour = last_hour(replace(healthy(), minutes=an_hour(minutes=3)))
    assert len(hour) == MINUTES
    assert [minute is not None for minute in hour] == [False] * 57 + [True] * 3
    assert hour[-1] is not None
    assert hour[-1].at <= NOW < hour[-1].at + 60


def test_a_process_whose_clock_is_ahead_moves_the_axis_by_a_minute_at_most() -> None:
    ahead = last_hour(replace(healthy(), minutes=an_hour(NOW + 60)))
    assert all(ahead)
    far = last_hour(replace(healthy(), minutes=an_hour(NOW + 600)))
    assert far[-1] is not None
    assert far[-1].at <= NOW + 60


@given(st.lists(MINUTE).map(tuple))
def test_totals_are_those_of_the_minutes_shown(minutes: tuple[Minute, ...]) -> None:
    hour = last_hour(replace(healthy(), minutes=minutes))
    shown = [minute for minute in hour if minute is not None]
    told = pictures.traffic(hour)[1].text or ""
    assert told.startswith(f"{sum(m.requests for m in shown):,} requests")
    assert told.endswith(f"{sum(m.failed for m in shown):,} failed.")


@given(st.integers(0, 10**9))
def test_the_axis_reaches_at_least_what_is_there_and_at_most_five_times_that(most: int) -> None:
    scale = counting(most)
    assert most <= scale.ceiling <= max(1, 2.5 * most)
    assert scale.y(most) >= 0
    assert scale.y(0) == TALL
    for part, text in scale.ticks:
        assert scale.height(float(text.replace(",", ""))) == pytest.approx(part)


@given(st.floats(1e-3, 1e7), st.floats(1e-3, 1e7))
def test_a_logarithmic_axis_keeps_the_order(a: float, b: float) -> None:
    scale = Scale((), 10_000, 0.5, logarithmic=True)
    assert (scale.height(a) <= scale.height(b)) or a > b
    assert 0 <= scale.height(a) <= 1


def test_one_failure_among_thousands_is_seen() -> None:
    one = replace(an_hour()[-1], requests=100_000, failed=1)
    drawn = pictures.traffic([None] * 59 + [one])
    failed = next(each for each in drawn.iter("path") if each.get("class") == "failed")
    [(low, high)] = re.findall(r"M\d+ ([\d.]+)V([\d.]+)h", failed.get("d", ""))
    assert float(low) - float(high) >= 3


def test_a_curve_breaks_off_where_nothing_was_counted() -> None:
    assert line("c", [1.0, None, 2.0, 3.0]).get("d") == "M5 1h.1M25 2L35 3"
    assert band("c", [1.0, 2.0, None], [9.0, 8.0, 7.0]).get("d") == "M5 1L15 2L15 8L5 9z"
    assert bars("c", [(0, 100, 40), (1, 100, 100)]).get("d") == f"M1 100V40h{STEP - 2}V100z"


@pytest.mark.parametrize(
    ("worst", "top"), [(3.0, "100 ms"), (101.0, "1 s"), (4_000.0, "10 s"), (60_000.0, "10 s")]
)
def test_the_axis_of_times_is_no_longer_than_needed(worst: float, top: str) -> None:
    minute = replace(an_hour()[-1], latency=Latency(1.0, 2.0, worst))
    ticks = [each.text for each in latency([None] * 59 + [minute]).iter("text")]
    assert ticks[-1] == top


def test_an_hour_without_requests_is_told_so() -> None:
    assert latency([None] * 60)[1].text == "No request in the last hour."


def test_events_have_a_lane_each_and_share_a_mark_within_half_a_minute() -> None:
    started = NOW // 60 * 60
    kinds = ("breaker", "store", "process", "operator", "unheard-of")
    many = tuple(
        Happening(started + n % 20, "acme", k, f"{k} {n}", "p") for n in range(8) for k in kinds
    )
    drawn = events(replace(healthy(), events=many))
    marks = list(drawn.iter("rect"))
    assert [each.get("class") for each in marks] == [
        "happened lane-0", "happened lane-1", "happened lane-2", "happened lane-3",
    ]  # fmt: skip
    assert marks[0][0].text == "acme: breaker 0\nacme: breaker 1\nacme: breaker 2\nand 5 more"
    assert (marks[2][0].text or "").endswith("and 13 more")
    assert len({each.get("x") for each in marks}) == 1


def test_however_much_happens_the_picture_stays_small() -> None:
    many = tuple(Happening(NOW - n, "", "breaker", "x" * 80, "p") for n in range(3_500))
    drawn = events(replace(healthy(), events=many))
    assert len(list(drawn.iter("rect"))) <= MARKS


def test_the_fullest_windows_come_first_and_say_how_near_they_are() -> None:
    windows = [Window("s", f"{n}", n, 100) for n in range(MOST_WINDOWS)]
    fuller = [Window("a", "w", 70, 100), Window("b", "w", 90, 100), Window("c", "w", 101, 100)]
    drawn = budget([*windows, *fuller, Window("acme", "1/100ms", 1, 1)])
    shown = [each.get("class") for each in drawn.iter("rect") if each.get("class") != "track"]
    assert shown == ["spent", "spent", "near", "roomy", "roomy", "roomy", "roomy", "roomy"]
    assert (drawn[1].text or "").startswith("c w: 101 of 100; b w: 90 of 100; a w: 70 of 100")


def test_tiers_fill_the_bar_of_a_resource() -> None:
    drawn = reads(outage().resources)
    widths = [
        float((each.get("width") or "")[:-1])
        for each in drawn.iter("rect")
        if (each.get("class") or "").startswith("tier-")
    ]
    assert sum(widths[:3]) == pytest.approx(100, abs=0.02)
    assert "profiles: 98.1% without waiting for Nexudus" in (drawn[1].text or "")


def test_all_pictures_together_stay_small() -> None:
    """They are sent to every viewer every other second."""
    assert sum(len(text) for text in charts(outage()).values()) < 24_000


@pytest.mark.parametrize(
    ("ms", "text"), [(0.42, "0.42 ms"), (3.14, "3.1 ms"), (38.4, "38 ms"), (1_234.0, "1.2 s")]
)
def test_times_are_told_in_two_digits(ms: float, text: str) -> None:
    assert pictures.milliseconds(ms) == text
