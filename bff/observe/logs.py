"""Structured logs: JSON, or readable on a terminal. Never a token, an e-mail or a body."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal

import orjson
import structlog

from bff.errors import BffError

Format = Literal["auto", "json", "console"]

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, form: Format) -> None:
    """Set up logging for a process; called by the command line, never at import."""
    pretty = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer(_json)
    )
    set_level(level)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_traceback),
            _told_only,
            renderer,
        ],
        wrapper_class=Leveled,
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def set_level(level: str) -> None:
    """From now on, this process writes no line less severe than `level`; ValueError if unknown."""
    if level not in _LEVELS:
        raise ValueError(f"a level is one of: {', '.join(_LEVELS)}")
    Leveled.least = _LEVELS[level]


def tells_requests() -> bool:
    """Whether lines of requests that went well are written."""
    return Leveled.least <= logging.INFO


def level() -> str:
    """The level that holds."""
    return next(name for name, number in _LEVELS.items() if number == Leveled.least)


def sampled(ident: str, part: float) -> bool:
    """Whether one of a `part` (0..1) of all ids: the same for an id in every process."""
    return zlib.crc32(ident.encode()) < part * 2**32


def adopt(library: str) -> None:
    """Write what a library logs of itself as our lines: each place in its code once, no values.

    What it has to say again and again is told by whoever uses it.
    """
    logger = logging.getLogger(library)
    logger.handlers = [_Adopted()]
    logger.propagate = False


class Leveled(structlog.BoundLoggerBase):
    """A logger that asks for each line which level holds: loggers are kept once they are used."""

    least: ClassVar[int] = logging.INFO

    def debug(self, event: str, **fields: object) -> None:
        if Leveled.least <= logging.DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: object) -> None:
        if Leveled.least <= logging.INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        if Leveled.least <= logging.WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: object) -> None:
        self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._proxy_to_logger("error", event, **{"exc_info": True, **fields})

    def log(self, number: int, event: str, **fields: object) -> None:
        """A line of the severity that the standard library gives this number."""
        if number >= Leveled.least:
            known = [name for name, least in _LEVELS.items() if least <= number]
            self._proxy_to_logger(known[-1] if known else "debug", event, **fields)


class _Adopted(logging.Handler):
    """Lines of a library, told once each by where they are and what they would be filled into."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[tuple[str, int]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        place = (record.pathname, record.lineno)
        if place not in self._told:
            self._told.add(place)
            message = str(record.msg).partition("\n")[0]
            structlog.get_logger("bff.library").log(record.levelno, "library", message=message)


def _json(fields: object, default: Callable[[Any], Any]) -> str:
    try:
        return orjson.dumps(fields, default).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, or too large a number
        return json.dumps(fields, default=default)


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """Where errors came from, the first of a chain first; the text of our own ones only.

    Libraries quote what they stumble over: a header that is malformed, a key that is missing.
    """
    error: BaseException | None = exc_info[1]
    chain: list[str] = []
    while error is not None:
        told = type(error).__qualname__
        if isinstance(error, BffError):
            told = f"{told}: {error}"
        chain.append("".join([*traceback.format_tb(error.__traceback__), told]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\n".join(reversed(chain))


def _told_only(
    _logger: structlog.types.WrappedLogger, _method: str, fields: structlog.types.EventDict
) -> structlog.types.EventDict:
    """A field that is None is left out."""
    return {name: value for name, value in fields.items() if value is not None}
