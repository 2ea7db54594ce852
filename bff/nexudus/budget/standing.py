"""What one process knows of the windows of a budget, for operators and forecasts. Pure."""

from __future__ import annotations

from typing import Final

from bff.nexudus.budget.book import Book
from bff.nexudus.budget.contract import Priority, Spending

SHORT: Final = 0.2
"""Less than this part of a window left is short."""


def spendings(book: Book, now: float) -> tuple[Spending, ...]:
    """One for each window. `now`: monotonic seconds."""
    return tuple(_spending(book, index, used, now) for index, used in enumerate(book.used(now)))


def is_short(book: Book, now: float) -> bool:
    """Paused, or a window with less than a fifth left of what is allowed at the moment."""
    if book.paused_s(now):
        return True
    factor = book.strictness.factor_at(now)
    return any(
        not window.spaced and used > (1 - SHORT) * window.allows(factor=factor)
        for window, used in zip(book.windows, book.used(now), strict=True)
    )


def _spending(book: Book, index: int, used: int, now: float) -> Spending:
    window = book.windows[index]
    levels = tuple(_level(book, index, each, now) for each in Priority)
    part = window.allows(book.shares.stranger, book.strictness.factor_at(now))
    # The ledger counts all strangers, and does not say how many; each process knows its own.
    unheard = book.shared and book.processes > 1 and not window.spaced and used >= part
    return Spending(window.limit, window.writes_only, used, levels, unheard)


def _level(book: Book, index: int, priority: Priority, now: float) -> int:
    """Up to which use calls of a priority go; 0 where none of them goes at any use."""
    window, factor = book.windows[index], book.strictness.factor_at(now)
    share, most = window.allows(book.shares.of(priority), factor), window.allows(factor=factor)
    if priority is not Priority.STRANGER or window.spaced:
        return share
    theirs = book.strangers.used(index, now)
    apart = 1 if book.shared else book.processes
    if theirs >= max(1, window.allows(book.shares.stranger, factor) // apart):
        return 0
    return most if theirs < (most - share) // apart else share
