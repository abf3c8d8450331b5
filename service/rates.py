"""How many requests a key may make: a bucket of tokens that fills at the rate allowed."""

from __future__ import annotations

import math
import time

from service.errors import Problem


class RateLimits:
    """Of one worker: several workers of a host each allow the rate."""

    def __init__(self, per_second: float | None) -> None:
        """None: as many as come. A key that was idle may make a second's worth at once, and at least one."""
        self._rate = per_second
        self._most = max(per_second or 0.0, 1.0)
        self._buckets: dict[str, tuple[float, float]] = {}  # key: tokens, at (monotonic)

    def take(self, key: str) -> None:
        """Raises Problem 429 with the seconds until the next request is allowed."""
        if self._rate is None:
            return
        now = time.monotonic()
        tokens, at = self._buckets.get(key, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._rate)
        if tokens < 1:
            self._buckets[key] = (tokens, now)
            wait = math.ceil((1 - tokens) / self._rate)
            raise Problem(429, "this key makes more requests than it may", retry_after=wait)
        self._buckets[key] = (tokens - 1, now)
