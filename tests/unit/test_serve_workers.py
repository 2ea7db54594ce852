"""When workers that end are replaced, and when that is given up. Real ones are in tests/e2e."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bff import serve
from bff.serve import Server


class Workers(Server):
    """Nobody is started: who ends next is `script`, and after its end the server is stopped."""

    def __init__(self, *script: int) -> None:
        super().__init__("tests.e2e.broken:create_app", log_enabled=False)
        self.replaced: list[int] = []
        self._script = iter(script)
        self._next()

    @property
    def gave_up(self) -> bool:
        """granian ends with an error where somebody who ended was not replaced."""
        return bool(self.interrupt_children)

    def run(self) -> None:
        self._serve_loop(lambda: None, lambda: None)  # type: ignore[arg-type, return-value]

    def _respawn_workers(
        self, workers: list[int], spawn: Callable[..., None], load: object, delay: float = 0
    ) -> None:
        self.replaced += workers
        self._next()

    def _next(self) -> None:
        index = next(self._script, None)
        if index is None:
            self.interrupt_signal = True
        else:
            self.interrupt_children.append(index)
        self.main_loop_interrupt.set()


def test_each_that_ends_is_replaced() -> None:
    workers = Workers(0, 1, 2)
    workers.run()
    assert (workers.replaced, workers.gave_up) == ([0, 1, 2], False)


@pytest.mark.parametrize(
    ("script", "replaced"), [((0, 0, 0), [0]), ((0, 1, 0, 1), [0, 1]), ((2, 0, 1, 1), [2, 0, 1])]
)
def test_one_that_ends_again_at_once_ends_it_all(
    script: tuple[int, ...], replaced: list[int]
) -> None:
    """Whoever else has ended in between, or workers that end in turns would go on for ever."""
    workers = Workers(*script)
    workers.run()
    assert (workers.replaced, workers.gave_up) == (replaced, True)


def test_one_that_ends_again_later_is_replaced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SETTLED_S", 0.0)
    workers = Workers(*[0, 1] * 5)
    workers.run()
    assert (workers.replaced, workers.gave_up) == ([0, 1] * 5, False)


def test_a_signal_is_obeyed_although_somebody_ended() -> None:
    workers = Workers(0)
    workers.interrupt_signal = True
    workers.run()
    assert workers.replaced == []
