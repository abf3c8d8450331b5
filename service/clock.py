"""The service's clock: now, the newest line of the data, or a fixed day."""

from __future__ import annotations

import time

from histories.clock import DAY, parse_as_of, to_text
from histories.errors import BadInput


class Clock:
    def __init__(self, setting: str, zone: str) -> None:
        """Raises BadInput when the setting is neither now, data nor a date."""
        self.setting = setting
        try:
            self._fixed = None if setting in ("now", "data") else parse_as_of(setting, zone)
        except (ValueError, OverflowError):
            raise BadInput("the clock must be now, data or a date (2011-09-10)") from None

    def instant(self, newest: int | None) -> int:
        """The present, us; `newest` is the instant of the newest line."""
        if self._fixed is not None:
            return self._fixed
        return newest if self.setting == "data" and newest is not None else wall()

    def due(self) -> int:
        """The instant up to which lines dated ahead have fallen due.

        Under the data's clock only an import moves the present: one order posted today would carry an old export
        years ahead, and everybody would look lost.
        """
        return 0 if self.setting == "data" else self.instant(None)

    def warning(self, newest: int | None, horizon_days: int) -> str | None:
        """Data older than a horizon makes everybody look lost; under a chosen clock that is meant."""
        if self.setting != "now" or newest is None or wall() - newest <= horizon_days * DAY:
            return None
        return (
            f"the newest order line is of {to_text(newest)}, more than {horizon_days} days ago: everybody looks lost; "
            "serve old data with --clock data or --clock DATE"
        )


def wall() -> int:
    """The wall clock, us since 1970 in UTC."""
    return time.time_ns() // 1_000
