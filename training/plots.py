"""Pictures of an examination, for `mlflow ui`: figures only, no global state of matplotlib's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from training import metrics
from training.judge import OURS, RULES, Answers, Scores, Truth

_OURS, _OTHER, _FAINT = "#1f5fa8", "#d07a1f", "#9a9a9a"
_SHOWN = 15
Segment = Mapping[str, object]  # name, size, share_of_spend, expected_spend


def figures(
    truth: Truth,
    methods: Mapping[str, Answers],
    scores: Scores,
    importance: Mapping[str, Sequence[tuple[str, float]]],
    segments: Sequence[Segment],
) -> dict[str, Figure]:
    """By name. Nothing is drawn of methods where there was no holdout."""
    drawn = {"segments": segment_sizes(segments)}
    drawn |= {f"importance_{model}": bars(model, shares) for model, shares in importance.items() if shares}
    if OURS in methods:
        drawn["calibration"] = calibration(truth, methods)
        drawn["gain"] = gain(truth, methods)
        drawn["value_by_decile"] = value_by_decile(truth, methods)
    if scores.get("next_purchase"):
        drawn["next_purchase"] = next_purchase(scores)
    return drawn


def calibration(truth: Truth, methods: Mapping[str, Answers]) -> Figure:
    """Forecast against observed share lost in bins of equal mass, and how the forecasts are spread."""
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color=_FAINT, lw=1, ls="--", label="perfect")
    for name, colour in ((OURS, _OURS), ("bg_nbd", _OTHER)):
        if "churn" in methods.get(name, {}):
            forecast = methods[name]["churn"]
            bins = metrics.calibration(truth.lost, forecast)
            error = metrics.ece(truth.lost, forecast)
            label = f"{name} (mean error {error:.3f})"
            top.plot([p[0] for p, _ in bins], [e[0] for _, e in bins], "o-", color=colour, ms=4, label=label)
    below.hist(methods[OURS]["churn"], bins=40, range=(0, 1), color=_OURS)
    top.set(ylabel="share that did not order", xlim=(0, 1), ylim=(0, 1))
    below.set(xlabel=f"forecast probability of no order in {truth.horizon_days} days", ylabel="customers")
    titled(top, f"Churn calibration, {len(truth):,} customers in 10 bins of equal size")
    top.legend(loc="upper left", frameon=False)
    return figure


def gain(truth: Truth, methods: Mapping[str, Answers]) -> Figure:
    """What share of the lost customers, and of the spend, is reached by contacting the first x % of a ranking."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _gain_curves(left, truth.lost, {n: a.get("churn_rank", a["churn"]) for n, a in methods.items() if "churn" in a})
    titled(left, "Lost customers reached, most likely lost first")
    _gain_curves(right, truth.spend, {n: a["mean"] for n, a in methods.items() if "mean" in a})
    titled(right, f"Spend of the next {truth.horizon_days} days reached, most valuable first")
    left.set_ylabel("share reached")
    return figure


def _gain_curves(axes: Axes, actual: NDArray, rankings: Mapping[str, NDArray]) -> None:
    share = np.linspace(0, 1, len(actual) + 1)
    axes.plot(share, _cumulative(actual, actual), color=_FAINT, lw=1, ls=":", label="best possible")
    others = [name for name in rankings if name != OURS]
    shades = dict(zip(others, (_OTHER, "#5a9e5a", "#a05a9e", "#7a6a4f"), strict=False))
    for name in (*others, OURS):
        colour, width = (_OURS, 2.2) if name == OURS else (shades.get(name, _FAINT), 1.2)
        axes.plot(share, _cumulative(actual, rankings[name]), color=colour, lw=width, label=name)
    axes.plot([0, 1], [0, 1], color=_FAINT, lw=1, ls="--", label="at random")
    axes.set(xlabel="share of customers contacted", xlim=(0, 1), ylim=(0, 1.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _plain(axes)
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def _cumulative(actual: NDArray, score: NDArray) -> NDArray[np.float64]:
    running = np.cumsum(actual[np.argsort(-score, kind="stable")])
    return np.concatenate([[0.0], running / max(running[-1], 1e-12)])


def value_by_decile(truth: Truth, methods: Mapping[str, Answers]) -> Figure:
    """Mean spend forecast and come true in deciles of our forecast: order and size at a glance."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes, ours = figure.subplots(), methods[OURS]
    deciles = [group for group in np.array_split(np.argsort(-ours["mean"], kind="stable"), 10) if len(group)]
    at = np.arange(1, len(deciles) + 1)
    axes.bar(at, [truth.spend[g].mean() for g in deciles], 0.7, color="#c9d7e8", label="what came")
    axes.plot(at, [ours["mean"][g].mean() for g in deciles], "o-", color=_OURS, label=f"{OURS}, mean forecast")
    for name, colour in (("bg_nbd", _OTHER), (RULES["customer_value"], _FAINT)):
        if "mean" in methods.get(name, {}):
            values = [methods[name]["mean"][g].mean() for g in deciles]
            axes.plot(at, values, "s--", ms=4, lw=1, color=colour, label=name)
    axes.set(xticks=at, yscale="symlog")
    axes.set_ylim(0, 2 * axes.get_ylim()[1])
    axes.set(xlabel=f"tenth of the customers by {OURS}' forecast, most valuable first")
    axes.set(ylabel=f"mean spend in {truth.horizon_days} days\n(shop currency, log scale)")
    titled(axes, f"Customer value by decile of the forecast, {len(truth):,} customers")
    axes.legend(loc="upper right", frameon=False)
    return figure


def next_purchase(scores: Scores) -> Figure:
    """Recall and NDCG of the products, concordance of the date, beside the baselines."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    shown = [name for name in scores["next_purchase"] if name != "date_error_days"]
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        row = scores["next_purchase"][metric]
        heights = axes.bar(list(row), list(row.values()), color=[_OURS if n == OURS else "#d8b48a" for n in row])
        axes.bar_label(heights, fmt="%.3f", fontsize=8)
        axes.tick_params(axis="x", rotation=30, labelsize=8)
        axes.margins(y=0.12)
        titled(axes, metric)
    figure.suptitle("Next purchase: products (next basket) and date (order of the customers)", fontsize=11)
    return figure


def bars(model: str, shares: Sequence[tuple[str, float]]) -> Figure:
    """The features that carry most of a model's gain."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes, top = figure.subplots(), list(shares)[:_SHOWN][::-1]
    axes.barh([name for name, _ in top], [share for _, share in top], color=_OURS)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the model's gain")
    titled(axes, f"{model}: what the model looks at ({len(top)} of {len(shares)} features)")
    return figure


def segment_sizes(segments: Sequence[Segment]) -> Figure:
    """Share of customers beside share of spend, and expected spend written out."""
    figure = Figure(figsize=(8, 0.5 * len(segments) + 1.8), layout="constrained")
    axes, at = figure.subplots(), np.arange(len(segments))
    sizes = np.array([float(str(each["size"])) for each in segments])
    spend = [float(str(each["share_of_spend"])) for each in segments]
    people = axes.barh(at - 0.2, sizes / max(sizes.sum(), 1), 0.38, color=_OURS, label="share of customers")
    money = axes.barh(at + 0.2, spend, 0.38, color=_OTHER, label="share of spend so far")
    axes.bar_label(people, [f"{int(size):,} customers" for size in sizes], fontsize=8, padding=3)
    axes.bar_label(
        money, [f"expected {float(str(e['expected_spend'])):,.0f} each" for e in segments], fontsize=8, padding=3
    )
    axes.set(yticks=at, yticklabels=[str(each["name"]) for each in segments], xlabel="share")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.margins(x=0.18)
    axes.invert_yaxis()
    titled(axes, "Segments: size, spend, expected spend in the horizon")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def titled(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)
