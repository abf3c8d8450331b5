"""What is asked about customers, and as of when."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PARTS: Final = ("churn", "customer_value", "next_purchase", "segment")


class Choice(NamedTuple):
    """Which products are wanted of a customer, by their ids."""

    k: int = 10
    basket: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    in_stock_only: bool = True
    repeat: Literal["mixed", "only", "none"] = "mixed"
    upsell: bool = False


class Ask(NamedTuple):
    """What is asked about all customers of a pass, beside who they are."""

    parts: tuple[str, ...] = PARTS
    explain: bool = False

    def stage(self, part: str) -> str:
        """The name under which the part's time is counted."""
        return f"{part}_explained" if self.explain and part in ("churn", "customer_value") else part


class Moment(NamedTuple):
    """As of when: `live` cuts on occurred_at alone, otherwise also on what was recorded by then."""

    as_of: int
    live: bool
