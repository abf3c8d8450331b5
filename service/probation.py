"""A release that was quick at its trial may be slow on the customers who come: its first answers decide."""

from __future__ import annotations

from typing import Final

from service.release import Release

_ANSWERS: Final = 200


class Probation:
    """Of the release in service; the one before stays in memory until it is over."""

    def __init__(self, before: Release, budget: float) -> None:
        """`budget`: seconds of computing that an answer may take, as at the trial."""
        self.before = before
        self.budget = budget
        self._answers = 0
        self._slow = 0

    def note(self, seconds: float) -> None:
        """An answer took so long."""
        self._answers += 1
        self._slow += seconds > self.budget

    @property
    def failed(self) -> bool:
        """Most answers were too slow: the median is above the budget, whatever else may come."""
        return self._slow > _ANSWERS // 2

    @property
    def over(self) -> bool:
        return self._answers >= _ANSWERS
