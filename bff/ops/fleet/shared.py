"""What all processes share for operators: figures, what operators want, and questions.

It lives in the shared store, in a space of its own that no real one can be named like. It uses the
store behind the guard: what it meets there opens nobody's breaker, and no request waits for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import orjson
import structlog

from bff.cache import patience
from bff.cache.guarded import GuardedStore
from bff.cache.store import Refused
from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.ops.fleet.tally import KEPT

log = structlog.get_logger("bff.ops")

FLEET: Final = "~fleet"
FORGET_S: Final = 60.0
"""A process that is silent for so long is gone: until then, its silence is worth a look."""
STAND_S: Final = 30.0
"""Questions and answers."""
ASK_S: Final = 5.0
"""How long an answer is waited for: every process hears a question within two seconds."""
ASK_AGAIN_S: Final = 0.25
MOST_EVENTS: Final = 500
MOST_PROBLEMS: Final = 200
MOST_QUESTIONS: Final = 32
MOST_QUESTION: Final = 128
MOST_ANSWER: Final = 16_384
READ_BYTES: Final = 131_072
"""Of minutes in one answer: the first reading of an hour comes in several, each well in time."""
REFRESHES_PAUSED: Final = "refreshes_paused"
LOG_LEVEL: Final = "log_level"
_KEPT_MS: Final = KEPT * 60_000
_NAMES: Final = ("live", "said", "heard", "controls", "questions", "events", "problems")


@dataclass(frozen=True, slots=True)
class Controls:
    """What operators want of every process. `paused_by`, `paused_at`: whose wish, and when, in UTC
    seconds by the store's clock.
    """

    refreshes_paused: bool = False
    log_level: str = "info"
    paused_by: str = ""
    paused_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """An event or a problem, numbered by its process."""

    number: int
    is_event: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class Telling:
    """What a process says. `number`: one more than that of the telling before.

    `minutes`: (minute, record); `answers`: (question, answer).
    """

    number: int
    record: bytes
    minutes: Sequence[tuple[int, bytes]] = ()
    answers: Sequence[tuple[str, bytes]] = ()
    items: Sequence[Item] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """`known`: False where the store knew nothing of this process. `questions`: id, request id."""

    known: bool
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What a reader has already: versions of minutes, and the last event and problem."""

    minutes: Mapping[int, str]
    event: str = "0-0"
    problem: str = "0-0"


@dataclass(frozen=True, slots=True)
class Said:
    """`processes`: (name, seconds since it said something, record); `events` and `problems`:
    (id, text); `minutes`: (minute, version, records). `more`: there are other minutes still.
    """

    processes: tuple[tuple[str, float, bytes], ...]
    events: tuple[tuple[str, bytes], ...]
    problems: tuple[tuple[str, bytes], ...]
    minutes: tuple[tuple[int, str, tuple[bytes, ...]], ...]
    more: bool


class Fleet:
    """The door to it for one process. All raise StoreUnavailable where the store cannot be used.

    `answer` knows what was decided for a request of this process, by its id: JSON, no token in it.
    `on_controls` are called whenever what operators want changes.
    """

    def __init__(
        self, store: GuardedStore, process: str, clock: Clock, controls: Controls = Controls()
    ) -> None:
        self.process: Final = process
        self.controls = controls
        self.on_controls: list[Callable[[Controls], None]] = []
        self.answer: Callable[[str], dict[str, object] | None] = lambda _request_id: None
        self._store = store
        self._clock = clock
        self._initial = controls
        self._wishes: dict[str, bytes] = {}
        self._script = {
            name: (resources.files("bff.ops.fleet") / "scripts" / f"{name}.lua").read_text()
            for name in ("tell", "hear", "ask", "answered", "control")
        }

    @property
    def available(self) -> bool:
        """Whether the shared store is used."""
        return self._store.available

    async def set_control(self, name: str, value: object, who: str) -> None:
        """REFRESHES_PAUSED (a bool) or LOG_LEVEL (a name), in every process within two seconds."""
        if name not in (REFRESHES_PAUSED, LOG_LEVEL):
            raise ValueError(f"no control: {name}")
        wish = orjson.dumps({"value": value, "who": who})
        self._want(_pairs(await self._run("control", ["controls"], [name, wish])))

    async def ask(self, request_id: str) -> dict[str, object] | None:
        """What another process says of a request; None where none knew it within ASK_S."""
        request_id = request_id[:MOST_QUESTION]
        name = uuid.uuid4().hex
        question = f"{name} {request_id}"
        await self._run("ask", ["questions"], [question, _ms(STAND_S), MOST_QUESTIONS])
        until = self._clock.monotonic() + ASK_S
        while self._clock.monotonic() < until:
            await self._clock.sleep(ASK_AGAIN_S)
            found = await self._run("answered", [_answer(name), "questions"], [question])
            if found:
                return _json_object(found[0]) or None
        return None

    async def tell(self, telling: Telling) -> Answered:
        """Say what is new, once: told again, nothing counts twice. One call of the store."""
        names = [
            *_NAMES,
            *(_minute(minute) for minute, _ in telling.minutes),
            *(_answer(question) for question, _ in telling.answers),
        ]
        args: list[str | bytes | int] = [
            self.process, telling.number, telling.record,
            _KEPT_MS, _ms(FORGET_S), _ms(STAND_S), MOST_EVENTS, MOST_PROBLEMS,
            len(telling.minutes), len(telling.answers), len(telling.items),
            *(record for _, record in telling.minutes),
            *(answer for _, answer in telling.answers),
        ]  # fmt: skip
        for item in telling.items:
            args += [item.number, "e" if item.is_event else "p", item.text]
        for name, wish in self._wishes.items():
            args += [name, wish]
        answer = await self._run("tell", names, args)
        with _Understood():
            known, wishes, questions = answer
            asked = tuple(_question(each.decode()) for each in questions)
            self._want(_pairs(wishes))
            return Answered(known == 1, asked)

    async def hear(self, known: Known) -> Said:
        """What all processes said that the reader does not know. One call of the store."""
        minutes = list(known.minutes)
        names = ["live", "said", "events", "problems", *(_minute(minute) for minute in minutes)]
        args: list[str | bytes | int] = [_ms(FORGET_S), known.event, known.problem, READ_BYTES]
        args += known.minutes.values()
        answer = await self._run("hear", names, args)
        with _Understood():
            said, events, problems, changed, more = answer
            return Said(
                processes=tuple(
                    (name.decode(), int(ago) / 1000, record)
                    for name, ago, record in _in_rows(said, 3)
                ),
                events=tuple((at.decode(), text) for at, text in _in_rows(events, 2)),
                problems=tuple((at.decode(), text) for at, text in _in_rows(problems, 2)),
                minutes=tuple(
                    (minutes[index], version.decode(), tuple(records))
                    for index, version, *records in changed
                ),
                more=more == 1,
            )

    async def _run(
        self, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        if not self._store.available:
            raise Refused("the store is away")
        with patience.unlimited():
            return await self._store.inner.run(FLEET, self._script[script], names, args)

    def _want(self, wishes: dict[str, bytes]) -> None:
        self._wishes = {
            name: wish for name, wish in wishes.items() if name in (REFRESHES_PAUSED, LOG_LEVEL)
        }
        controls = _controls(self._wishes, self._initial)
        if controls == self.controls:
            return
        self.controls = controls
        for tell in self.on_controls:
            try:
                tell(controls)
            except Exception:
                # One that cannot do what is wanted must not keep the others from it.
                log.exception("control_failed")


def takes_nothing(error: StoreUnavailable) -> bool:
    """Whether the store is there and refused: it is full, or a replica that is only read from."""
    return isinstance(error, Refused) and error.__cause__ is not None


class _Understood:
    """Around taking an answer apart: one that is not the script's is as good as none."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, _trace: object) -> None:
        if isinstance(error, TypeError | ValueError | IndexError | AttributeError):
            raise StoreUnavailable("the store gave another answer than the script's") from error


def _controls(wishes: Mapping[str, bytes], initial: Controls) -> Controls:
    paused = _json_object(wishes.get(REFRESHES_PAUSED, b"{}"))
    level = _json_object(wishes.get(LOG_LEVEL, b"{}"))
    wanted, who, at = paused.get("value"), paused.get("who"), paused.get("at")
    name = level.get("value")
    return Controls(
        refreshes_paused=wanted if isinstance(wanted, bool) else initial.refreshes_paused,
        log_level=name if isinstance(name, str) and name else initial.log_level,
        paused_by=who if isinstance(who, str) else "",
        paused_at=at if isinstance(at, float | int) else 0.0,
    )


def _json_object(text: bytes) -> dict[str, object]:
    """Empty where it is another."""
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _question(text: str) -> tuple[str, str]:
    name, _, request_id = text.partition(" ")
    return name, request_id


def _pairs(flat: Iterable[Any]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in _in_rows(list(flat), 2)}


def _in_rows(flat: Sequence[Any], width: int) -> zip[tuple[Any, ...]]:
    return zip(*(flat[at::width] for at in range(width)), strict=True)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _minute(minute: int) -> str:
    return f"minute:{minute}"


def _answer(question: str) -> str:
    return f"answer:{question}"
