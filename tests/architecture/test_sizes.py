"""Past these sizes an idea is two ideas."""

from __future__ import annotations

import ast

from tests.architecture.source import Function, sources

MOST_LINES = 330
MOST_FUNCTION_LINES = 50
MOST_PARAMETERS = 6

LONG_FUNCTIONS = {
    "bff.app.build": "the whole stack on one screen, in the order in which it is wired",
}
MANY_PARAMETERS = {
    "bff.cli.sandbox": "one parameter for each option of the command",
    "bff.cli_operators.purge": "one parameter for each option of the command",
    "bff.cli_operators.explain": "one parameter for each option of the command",
}
"""Justified exceptions; one that is no longer needed fails too."""


def parameters(function: Function) -> int:
    """How many a caller can give, the instance or class not counted."""
    given = function.args
    positional = [each.arg for each in (*given.posonlyargs, *given.args)]
    others = [*given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return len(positional) + len(others) - (positional[:1] in (["self"], ["cls"]))


def lines(function: Function) -> int:
    """From its `def` to its last line."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_files_are_short() -> None:
    long = {str(s.path): n for s in sources() if (n := s.text.count("\n")) > MOST_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{source.name}.{function.name}"
        for source in sources()
        for function in source.functions()
        if lines(function) > MOST_FUNCTION_LINES
    }
    assert long == LONG_FUNCTIONS.keys()


def test_functions_have_few_parameters() -> None:
    many = {
        f"{source.name}.{function.name}"
        for source in sources()
        for function in source.functions()
        if parameters(function) > MOST_PARAMETERS
    }
    assert many == MANY_PARAMETERS.keys()


def test_parameters_are_counted_as_a_caller_sees_them() -> None:
    code = "def f(self, a, /, b, *c, d=1, **e): pass\ndef g(a, b): pass\ndef h(): pass"
    functions = [node for node in ast.parse(code).body if isinstance(node, Function)]
    assert [parameters(function) for function in functions] == [5, 2, 0]
