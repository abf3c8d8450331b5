"""Verdicts: a release beside the champion and beside each model's plain rule, kept with the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from training import judge, metrics
from training.judge import GATED, RULES, Answers, Difference, Truth


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

    @property
    def grades_in_words(self) -> str:
        return ", ".join(f"{model} {grade}" for model, grade in self.grades.items())

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
    """What contacting a tenth of the customers reaches, by our ranking, the rule's and the champion's."""
    budget = max(1, round(judge.TENTH * len(truth)))
    likely = _ranked(methods, "churn", {RULES["churn"]: ("by days since the last order", "churn_rank")})
    worthy = _ranked(methods, "mean", {RULES["customer_value"]: ("by last year's spend", "mean")})
    lines = [
        _line("those most likely lost first", "lost customers", truth.lost, likely, budget),
        _line("the most valuable first", "spent", truth.spend, worthy, budget),
    ]
    active, recent = truth.active, truth.recent
    if recent is not None and truth.lost_spend.sum() > 0:
        at_stake = {who: (rank * recent)[active] for who, rank in _ranked(methods, "churn", {}).items()}
        at_stake["by spend of the last horizon"] = recent[active]
        what = f"spent in the last {truth.horizon_days} days by those lost since"
        few = max(1, round(judge.TENTH * int(active.sum())))
        lines.append(
            _line("those active lately with most at stake first", what, truth.lost_spend[active], at_stake, few)
        )
    return lines


def _ranked(methods: Mapping[str, Answers], answer: str, rules: Mapping[str, tuple[str, str]]) -> dict[str, NDArray]:
    """Scores by who ranks with them, ours first."""
    found = {"": methods[judge.OURS][answer]}
    found |= {words: methods[rule][name] for rule, (words, name) in rules.items() if rule in methods}
    if answer in methods.get(judge.CHAMPION, {}):
        found["by the champion"] = methods[judge.CHAMPION][answer]
    return found


def _line(order: str, what: str, actual: NDArray, rankings: Mapping[str, NDArray], budget: int) -> str:
    reached = {who: metrics.reached(actual, rank, budget) for who, rank in rankings.items()}
    ours, *others = (f"{value:,.0f} {who}".strip() for who, value in reached.items())
    who = f"{budget:,} customer" + "s" * (budget != 1)
    return f"contacting {who} (10 %), {order}: {ours} of {actual.sum():,.0f} {what}, {', '.join(others)}"
