"""Labelled answers where no model may or can speak: for the unknown, and for who has not consented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from service.release import Release
from service.schemas import Churn, CustomerValue, Part, Segment


def part(name: str, release: Release, as_of: int, *, withheld: bool) -> Part:
    """The part without the customer: what training says of a newcomer, or nothing without consent."""
    return (_WITHHELD if withheld else _PRIOR)[name](release, as_of)


def _prior_churn(release: Release, as_of: int) -> Part:
    probability = float(release.churn.fallback(as_of))
    return Churn(source="fallback", fallback="prior", probability=probability, horizon_days=release.horizon_days)


def _prior_value(release: Release, as_of: int) -> Part:
    value = release.customer_value.fallback(as_of)
    return CustomerValue(
        source="fallback",
        fallback="prior",
        expected_spend=float(value.mean),
        median_spend=float(value.median),
        low=float(value.low),
        high=float(value.high),
        expected_orders=float(value.orders),
        horizon_days=release.horizon_days,
    )


def _prior_segment(release: Release, as_of: int) -> Part:
    return Segment(source="fallback", fallback="prior", name=release.segments.fallback())


def _no_churn(release: Release, as_of: int) -> Part:
    return Churn(source="withheld", probability=None, horizon_days=release.horizon_days)


def _no_value(release: Release, as_of: int) -> Part:
    return CustomerValue(
        source="withheld",
        expected_spend=None,
        median_spend=None,
        low=None,
        high=None,
        expected_orders=None,
        horizon_days=release.horizon_days,
    )


def _no_segment(release: Release, as_of: int) -> Part:
    return Segment(source="withheld", name=None)


_Maker = Callable[[Release, int], Part]
_PRIOR: Final[Mapping[str, _Maker]] = {
    "churn": _prior_churn,
    "customer_value": _prior_value,
    "segment": _prior_segment,
}
_WITHHELD: Final[Mapping[str, _Maker]] = {"churn": _no_churn, "customer_value": _no_value, "segment": _no_segment}
