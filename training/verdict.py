"""Verdicts: a release beside the champion and beside each model's plain rule, kept with the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from training import judge, metrics
from training.judge import GATED, RULES, Answers, Difference, Truth

_BUDGET = 0.1  # share of the customers that a campaign can contact


@dataclass(frozen=True)
class Verdict:
    """`accepted` is None where nothing can be said beside a champion: too few customers, or it cannot be asked."""

    release: str
    champion: str | None  # the release judged beside; None if there was no champion
    accepted: bool | None
    reasons: tuple[str, ...] = ()  # why it is not accepted, or what could not be judged
    beside_champion: Mapping[str, Sequence[Difference]] = field(default_factory=dict)
    beside_rule: Mapping[str, Sequence[Difference]] = field(default_factory=dict)
    unjudged: Mapping[str, str] = field(default_factory=dict)  # model -> why
    money: tuple[str, ...] = ()  # what a contact budget reaches, in words
    warnings: tuple[str, ...] = ()

    @property
    def grades(self) -> dict[str, str]:
        """Per model, against its rule: better, level, worse or unjudged."""
        return {
            model: "unjudged" if model in self.unjudged else _grade(self.beside_rule.get(model, ())) for model in GATED
        }

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "grades": self.grades}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        known = {name: content[name] for name in cls.__dataclass_fields__}
        for part in ("beside_champion", "beside_rule"):
            known[part] = {model: [Difference(**each) for each in found] for model, found in known[part].items()}
        for part in ("reasons", "money", "warnings"):
            known[part] = tuple(known[part])
        return cls(**known)


def reach_verdict(
    release: str,
    champion: str | None,
    truth: Truth,
    methods: Mapping[str, Answers],
    *,
    silent: str = "",
    warnings: Sequence[str] = (),
) -> Verdict:
    """Accepted if no model is worse than the champion's beyond the bootstrap's noise.

    `methods` holds regulars, the rules, and champion unless it could not be asked; then `silent` says why.
    """
    unjudged = judge.unjudged(truth)
    judged = {model: names for model, names in GATED.items() if model not in unjudged}
    ours = methods.get(judge.OURS, {})
    beside_champion = judge.compare(truth, ours, methods.get(judge.CHAMPION, {}), judged)
    beside_rule = {
        model: found
        for model, names in judged.items()
        for found in judge.compare(truth, ours, methods.get(RULES[model], {}), {model: names}).values()
    }
    worse = [_in_words(model, each) for model, found in beside_champion.items() for each in found if each.high < 0]
    unknown = [f"{model} is not judged: {why}" for model, why in unjudged.items()]
    unknown += [f"champion {champion} cannot be judged beside: {silent}"] if champion and silent else []
    return Verdict(
        release=release,
        champion=champion,
        accepted=False if worse else None if champion and unknown else True,
        reasons=(*worse, *unknown),
        beside_champion=beside_champion,
        beside_rule=beside_rule,
        unjudged=unjudged,
        money=tuple(_money(truth, methods)) if "churn" in judged else (),
        warnings=tuple(warnings),
    )


def _grade(differences: Sequence[Difference]) -> str:
    grades = {each.grade for each in differences}
    if "better" in grades and "worse" not in grades:
        return "better"
    return "worse" if "worse" in grades and "better" not in grades else "level"


def _in_words(model: str, worse: Difference) -> str:
    return (
        f"{model} is worse than the champion's: {worse.metric} {worse.ours:.4g} against {worse.other:.4g} "
        f"(95 % interval of the gain {worse.low:+.3g} to {worse.high:+.3g})"
    )


def _money(truth: Truth, methods: Mapping[str, Answers]) -> list[str]:
    """What contacting a tenth of the customers reaches, by our ranking and by the rules'."""
    budget = max(1, round(_BUDGET * len(truth)))
    ours = methods[judge.OURS]
    lost, rank = methods[RULES["churn"]], "churn_rank"
    worth = methods[RULES["customer_value"]]
    return [
        f"contacting {budget:,} customers (10 %), those most likely lost first: "
        + _reached(truth.lost, ours["churn"], lost[rank], budget, "of {total:,.0f} lost customers, {rule:,.0f}")
        + " by days since the last order",
        f"contacting {budget:,} customers (10 %), the most valuable first: "
        + _reached(truth.spend, ours["mean"], worth["mean"], budget, "of {total:,.0f} spent, {rule:,.0f}")
        + " by last year's spend",
    ]


def _reached(actual: NDArray, ours: NDArray, rule: NDArray, budget: int, words: str) -> str:
    mine, theirs = metrics.reached(actual, ours, budget), metrics.reached(actual, rule, budget)
    return f"{mine:,.0f} " + words.format(total=actual.sum(), rule=theirs)
