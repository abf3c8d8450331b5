"""One request about one customer, from when it came until it is answered."""

from __future__ import annotations

from service import schemas as s
from service.ask import PARTS, Ask, Choice
from service.wire import Call


class Asked:
    __slots__ = ("alike", "answer", "ask", "body", "call", "choice")

    def __init__(self, body: s.PredictRequest, parts: tuple[str, ...] = PARTS, call: Call | None = None) -> None:
        self.body, self.call = body, call
        self.ask = Ask(parts, body.explain)
        self.choice = Choice(body.k, body.basket, body.exclude, body.in_stock_only, body.repeat, body.upsell)
        # Whichever products are wanted. A history sent along shares its pass with nobody.
        self.alike = (self.ask, body.as_of, None if body.customer_id is not None else id(self))
        self.answer: bytes | Exception | None = None

    @property
    def about(self) -> tuple[object, ...]:
        """All that decides the answer, beside what is held and when it is asked."""
        return (self.body.customer_id, self.body.as_of, *self.ask, *self.choice)

    def told(self) -> bytes:
        """The answer as JSON; raises what went wrong."""
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer
