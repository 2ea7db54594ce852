"""Pitfall 6, by reading: no line of code could write a token, a header or a body to a log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import Source, parsed, sources

LEVELS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
BINDERS = frozenset({"bind", "new", "bind_contextvars", "bound_contextvars", "contextvars"})

FIELDS = frozenset(
    (
        *("action", "affected", "alone", "bytes", "cache", "cause", "everywhere", "message"),
        *("method", "ms", "peers", "reason", "request_id", "resource", "route", "scope", "space"),
        *("status", "stored", "what"),
        # of a request: 32 hex digits, a number
        *("trace_id", "sample"),
        # of what an operator did, by name
        *("operator", "outcome"),
        # of what Nexudus allows
        *("factor", "seconds", "stretch"),
        # of a server that starts
        *("host", "port", "workers", "spaces", "redis"),
        # of a worker that ended
        "pid",
    )
)
"""The fields that a log line may have. None of them holds a header, a body, a query or a token."""

UNSPEAKABLE = frozenset(
    (
        *("authorization", "bearer", "body", "cookie", "credentials", "header", "headers"),
        *("password", "query", "secret", "signature", "token", "tokens"),
    )
)
"""Words of names that no logged value is computed from, whatever the field is called."""

TALKERS = ("bff.cli", "bff.demo", "bff.doctor", "bff.terminal", "bff.settings_doc")
"""Commands, which write to the terminal of the person who started them."""

STANDARD_LOGGING = {
    "bff.observe.logs": "gives structlog its level",
    "bff.serve": "puts the server's own lines in the form of ours",
}


def loggers(source: Source) -> frozenset[str]:
    """The names that stand for a structlog logger in a module."""
    return frozenset(
        ast.unparse(target)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and "structlog.get_logger" in ast.unparse(node.value)
        for target in node.targets
    )


def log_calls(source: Source) -> Iterator[ast.Call]:
    """Every call that writes a line, or adds fields to later ones."""
    known = loggers(source)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        on = ast.unparse(node.func.value)
        is_logger = on in known or "structlog" in on
        if is_logger and node.func.attr in LEVELS | BINDERS:
            yield node


def faults(source: Source) -> list[str]:
    """Log calls with an event that is not constant text, a strange field, or a secret in one."""
    found = []
    for call in log_calls(source):
        assert isinstance(call.func, ast.Attribute)
        # `log(level, event)` has the event second.
        texts = call.args[1:] if call.func.attr == "log" else call.args
        constant = [isinstance(t, ast.Constant) and isinstance(t.value, str) for t in texts]
        if len(texts) > 1 or not all(constant):
            found.append(f"{source.at(call)}  (the event is one constant text)")
        # A keyword without a name is `**fields`, whose names nobody has looked at.
        strange = {keyword.arg or "**" for keyword in call.keywords} - FIELDS
        if strange:
            found.append(f"{source.at(call)}  (fields that are not on the list: {strange})")
        if told := UNSPEAKABLE & frozenset(words(call)):
            found.append(f"{source.at(call)}  (tells of {told})")
    return found


def words(call: ast.Call) -> Iterator[str]:
    """The words of every name in what a call is given."""
    for node in (each for given in (*call.args, *call.keywords) for each in ast.walk(given)):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            yield from name.lower().split("_")


def test_pitfall_6_log_lines_have_known_fields_only() -> None:
    assert sum(len(list(log_calls(source))) for source in sources()) > 10
    assert [fault for source in sources() for fault in faults(source)] == []


def test_pitfall_6_nothing_is_printed_by_the_gateway() -> None:
    found = [
        source.at(node)
        for source in sources()
        if not source.name.startswith(TALKERS)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "pprint", "sys.stdout.write", "sys.stderr.write")
    ]
    assert found == []


def test_pitfall_6_there_is_one_way_to_log() -> None:
    found = {
        source.name
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            name.split(".")[0] in ("logging", "warnings", "syslog")
            for name in (getattr(node, "module", None) or "", *(each.name for each in node.names))
        )
    }
    assert found == STANDARD_LOGGING.keys()


@pytest.mark.parametrize(
    "line",
    [
        "log.info('asked', reason=token)",
        "log.info('asked', reason=principal.token[:8])",
        "log.info('asked', reason=str(request_headers))",
        "log.info('asked', sent=count)",
        "log.info('asked', **fields)",
        "log.info(f'asked {found}')",
        "log.info('asked %s', found)",
        "log.info(found)",
        "log.log(20, found)",
        "log.bind(body=found)",
        "structlog.get_logger().info('asked', query=found)",
        "structlog.contextvars.bind_contextvars(authorization=value)",
        "self._log.info('asked', reason=self._secret)",
    ],
)
def test_pitfall_6_a_careless_line_is_noticed(line: str, tmp_path: Path) -> None:
    module = tmp_path / "careless.py"
    bound = "log = structlog.get_logger('x')\nself._log = structlog.get_logger()"
    module.write_text(f"import structlog\n{bound}\n{line}\n")
    assert len(faults(parsed(module, tmp_path))) == 1


def test_pitfall_6_a_careful_line_is_not(tmp_path: Path) -> None:
    module = tmp_path / "careful.py"
    module.write_text(
        "import structlog\nlog = structlog.get_logger()\nlog.info('asked', space=s)\n"
    )
    assert faults(parsed(module, tmp_path)) == []
