"""Lines of log: their form, their level at run time, which requests are among them."""

from __future__ import annotations

import io
import json
import logging
import random
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import UnusableAnswer
from bff.observe import logs

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
PARTS = st.floats(0, 1)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process that is set up for JSON writes."""
    sink = io.StringIO()
    monkeypatch.setattr(sys, "stderr", sink)
    level = logs.level()
    logs.configure("info", "json")
    yield sink
    structlog.reset_defaults()
    logs.set_level(level)


def events(written: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in written.getvalue().splitlines()]


def test_a_line_is_one_json_object_without_what_is_not_known(written: io.StringIO) -> None:
    log = structlog.get_logger("tests")
    log.info("one", space="a\nb", trace_id=None, ms=1.5)
    log.warning("two", what={1}, bytes=2**70)
    one, two = (json.loads(line) for line in written.getvalue().splitlines())
    assert one.pop("timestamp").endswith("Z")
    assert one == {"event": "one", "level": "info", "space": "a\nb", "ms": 1.5}
    assert (two["what"], two["bytes"], two["level"]) == ("{1}", 2**70, "warning")


def test_half_a_surrogate_pair_does_not_lose_the_line(written: io.StringIO) -> None:
    structlog.get_logger("tests").info("odd", reason="\ud800")
    assert json.loads(written.getvalue())["reason"] == "\ud800"


def test_a_level_holds_at_once_for_loggers_that_are_in_use(written: io.StringIO) -> None:
    log = structlog.get_logger("tests")
    log.debug("one")
    log.info("two")
    for level in ("debug", "info", "warning", "error"):
        logs.set_level(level)
        assert logs.level() == level
        log.debug(f"debug at {level}")
        log.info(f"info at {level}")
        log.warning(f"warning at {level}")
        log.error(f"error at {level}")
    assert events(written) == [
        "two",
        *(f"{each} at debug" for each in ("debug", "info", "warning", "error")),
        *(f"{each} at info" for each in ("info", "warning", "error")),
        *(f"{each} at warning" for each in ("warning", "error")),
        "error at error",
    ]


def test_a_level_that_does_not_exist_changes_nothing(written: io.StringIO) -> None:
    for level in ("", "INFO", "trace", "critical"):
        with pytest.raises(ValueError, match="debug, info, warning, error"):
            logs.set_level(level)
    assert logs.level() == "info"
    assert written.getvalue() == ""


def stumble(held: str) -> None:
    """Fails as libraries do: with what it holds in its message, and in a local."""
    try:
        int(held)
    except ValueError:
        raise UnusableAnswer("Nexudus answered nonsense") from None
    finally:
        {}.pop(held)  # type: ignore[call-overload]


def test_pitfall_6_a_traceback_quotes_nothing_that_was_held(written: io.StringIO) -> None:
    held = "can" + "ary"
    try:
        stumble(held)
    except KeyError:
        structlog.get_logger("tests").exception("failed")
    line = json.loads(written.getvalue())
    assert line["level"] == "error"
    assert "canary" not in written.getvalue()
    first, last = line["exception"].split("\n\n")
    assert first.endswith("UnusableAnswer: Nexudus answered nonsense")
    assert last.endswith("\nKeyError")
    assert "in stumble" in last
    assert "ValueError" not in first  # suppressed, as it would be by Python


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (logging.CRITICAL, "error"),
        (logging.ERROR, "error"),
        (35, "warning"),
        (logging.INFO, "info"),
    ],
)
def test_a_line_of_any_severity_has_one_of_our_levels(
    written: io.StringIO, number: int, level: str
) -> None:
    log = structlog.get_logger("tests")
    log.log(logging.DEBUG, "not told")
    log.log(number, "told")
    assert json.loads(written.getvalue())["level"] == level


def test_on_a_terminal_lines_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, level = io.StringIO(), logs.level()
    monkeypatch.setattr(sys, "stderr", sink)
    try:
        logs.configure("info", "console")
        structlog.get_logger("tests").info("told", space="acme")
    finally:
        structlog.reset_defaults()
        logs.set_level(level)
    assert "told" in sink.getvalue()
    assert "{" not in sink.getvalue()


def test_each_place_in_a_library_is_told_once_and_without_its_values(written: io.StringIO) -> None:
    logs.adopt("a_library")
    library = logging.getLogger("a_library.part")
    for number in range(3):
        library.warning("no answer from %s\nsecond line", f"canary-{number}")
        library.info("not told")
    library.error("gone")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["no answer from %s", "gone"]
    assert "canary" not in written.getvalue()


@given(IDS, PARTS, PARTS)
def test_what_is_in_a_sample_is_in_every_larger_one(ident: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert logs.sampled(ident, large) or not logs.sampled(ident, small)
    assert logs.sampled(ident, 1)
    assert not logs.sampled(ident, 0)


def test_a_sample_is_as_large_as_it_says() -> None:
    chance = random.Random(7)
    idents = [f"{chance.getrandbits(128):032x}" for _ in range(20_000)]
    for part in (0.01, 0.1, 0.5):
        share = sum(logs.sampled(ident, part) for ident in idents) / len(idents)
        assert share == pytest.approx(part, abs=3 * (part * (1 - part) / len(idents)) ** 0.5)
