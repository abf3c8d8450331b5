"""A release in memory: four models that belong together, loaded from plain files, checked, tried on real customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.attributes import AttributeEncoder
from features.customers import NAMES
from histories.clock import DAY
from histories.errors import Refused
from models.churn import Churn
from models.customer_value import CustomerValue, Value
from models.next_purchase import NextPurchase
from models.segments import Segments
from service.shelf import read_json

KINDS: Final[Mapping[str, Any]] = {
    "churn": Churn,
    "customer_value": CustomerValue,
    "next_purchase": NextPurchase,
    "segments": Segments,
}
_DAYS_REMEMBERED: Final = 100  # any day may be asked about


@dataclass(frozen=True)
class Release:
    id: str
    horizon_days: int
    encoder: AttributeEncoder
    churn: Churn
    customer_value: CustomerValue
    next_purchase: NextPurchase
    segments: Segments
    versions: Mapping[str, str]  # registered model -> version
    grades: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Release:
        """From a folder of the four models' folders and release.json; Refused when it cannot be fed or read."""
        try:
            card = read_json(folder / "release.json")
            shop = read_json(folder / "churn" / "shop.json")
            encoder = AttributeEncoder.from_json((folder / "churn" / "attributes.json").read_text(encoding="utf-8"))
            models = _sharing({name: kind.load(folder / name) for name, kind in KINDS.items()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"its files cannot be read: {type(error).__name__} {error}") from error
        release = cls(
            id=card["release"],
            horizon_days=int(shop["horizon_days"]),
            encoder=encoder,
            **models,
            versions=card["versions"],
            grades=card["grades"],
        )
        release.check()
        return release

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """Names of the columns that models.frame.rows makes for this release."""
        return (*NAMES, *self.encoder.names)

    @cached_property
    def bought_at(self) -> int:
        """Where in a row it says whether the customer has bought at all."""
        return self.row_names.index("purchases")

    def newcomer(self, as_of: int) -> tuple[float, Value]:
        """Churn and value of somebody new; the same all day (UTC), so that each is computed once a day."""
        day = as_of - as_of % DAY
        known = self._newcomers.get(day)
        if known is None:
            if len(self._newcomers) >= _DAYS_REMEMBERED:
                self._newcomers.clear()
            known = self._newcomers[day] = (float(self.churn.fallback(day)), self.customer_value.fallback(day))
        return known

    @cached_property
    def _newcomers(self) -> dict[int, tuple[float, Value]]:
        return {}

    def check(self) -> None:
        """Raises Refused when a model wants a feature that is not made any more."""
        made = set(self.row_names)
        for name in KINDS:
            missing = [wanted for wanted in self._wanted(name) if wanted not in made]
            if missing:
                raise Refused(f"{name} wants the feature {missing[0]}, which is not made")

    def _wanted(self, name: str) -> tuple[str, ...]:
        """The columns of a customer's row that a model takes; the ranker of next_purchase makes its own."""
        model = getattr(self, name)
        if name == "next_purchase":
            return tuple(model.timing.features) if model.timing else ()
        return tuple(model.features)

    @cached_property
    def _positions(self) -> dict[str, NDArray[np.intp] | None]:
        """Per model, where its columns are in a row; None where they are the row itself."""
        at = {name: position for position, name in enumerate(self.row_names)}
        wanted = {name: self._wanted(name) for name in KINDS}
        return {
            name: None if names == self.row_names else np.array([at[column] for column in names], dtype=np.intp)
            for name, names in wanted.items()
        }

    def columns(self, model: str, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The columns of X that a model takes, in its order."""
        positions = self._positions[model]
        return X if positions is None else np.ascontiguousarray(X[:, positions])


def _sharing(models: dict[str, Any]) -> dict[str, Any]:
    """Churn and value with one basis where they were fitted on one: it is then looked at once for both."""
    value, basis = models["customer_value"], models["churn"].basis
    return models | ({"customer_value": replace(value, basis=basis)} if value.basis == basis else {})
