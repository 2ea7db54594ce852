"""The numbers among OpenTelemetry's own variables, looked at before its library reads them.

By some of them it would end in a traceback, in each worker; of others it would use its own number
and not say which. What is blank is as if it were not set. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bff.errors import Fault

_QUEUE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
_BATCH: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DEFAULT_QUEUE: Final = 2_048
_DEFAULT_BATCH: Final = 512
_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
_SHARING: Final = ("traceidratio", "parentbased_traceidratio")
_SHARE: Final = "OTEL_TRACES_SAMPLER_ARG"


@dataclass(frozen=True, slots=True)
class _Number:
    """What a variable may hold, from `least` to `most`."""

    example: str
    least: float = 0
    most: float = math.inf
    whole: bool = True

    def reason(self, text: str) -> str:
        """What is wrong with it; empty where nothing is."""
        read: Callable[[str], float] = int if self.whole else float
        try:
            value = read(text)
        except ValueError:
            return "must be a whole number" if self.whole else "must be a number"
        if not math.isfinite(value):
            return "must be a finite number"
        if value < self.least:
            return f"must be at least {self.least:.15g}"
        return f"must be at most {self.most:.15g}" if value > self.most else ""


_COUNT: Final = _Number("128")
_SECONDS: Final = _Number("10", least=0.001, whole=False)
_NUMBERS: Final[Mapping[str, _Number]] = MappingProxyType(
    {
        "OTEL_BSP_SCHEDULE_DELAY": _Number("5000", least=1),
        "OTEL_BSP_EXPORT_TIMEOUT": _Number("30000"),
        _QUEUE: _Number("2048", least=1),
        _BATCH: _Number("512", least=1),
        "OTEL_EXPORTER_OTLP_TIMEOUT": _SECONDS,
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": _SECONDS,
        _SHARE: _Number("0.01", most=1, whole=False),
        "OTEL_ATTRIBUTE_COUNT_LIMIT": _COUNT,
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _COUNT,
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": _COUNT,
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": _COUNT,
        "OTEL_SPAN_EVENT_COUNT_LIMIT": _COUNT,
        "OTEL_SPAN_LINK_COUNT_LIMIT": _COUNT,
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": _COUNT,
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": _COUNT,
    }
)
"""By their variables, within what the library takes."""


def faults(environ: Mapping[str, str]) -> tuple[Fault, ...]:
    """All of them. Values are not repeated, as in no other fault."""
    found = dict(_malformed(environ))
    if found.keys().isdisjoint({_QUEUE, _BATCH}) and _batch_passes_queue(environ):
        found[_BATCH] = f"must be at most {_QUEUE}"
    return tuple(
        Fault(name, reason, f"{name}={_NUMBERS[name].example}") for name, reason in found.items()
    )


def _malformed(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    shared = environ.get(_SAMPLER, "").lower() in _SHARING
    for name, number in _NUMBERS.items():
        text = environ.get(name, "").strip()
        # Of other samplers it is no number, and of most it is nothing.
        if text and (name != _SHARE or shared) and (reason := number.reason(text)):
            yield name, reason


def _batch_passes_queue(environ: Mapping[str, str]) -> bool:
    batch, queue = (environ.get(name, "").strip() for name in (_BATCH, _QUEUE))
    return int(batch or _DEFAULT_BATCH) > int(queue or _DEFAULT_QUEUE)
