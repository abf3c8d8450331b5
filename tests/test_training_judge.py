"""Measures by hand, baselines on toy rows, verdicts and grades."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from training import judge, metrics, plots, report
from training.baselines import Columns, last_year_rate, mean_gap, no_order_in_n_days, recency_frequency_logistic
from training.judge import CHAMPION, OURS, Answers, Truth
from training.verdict import Verdict, _money, reach_verdict

Methods = dict[str, Answers]


def test_ranking_metrics_by_hand() -> None:
    event, score = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.8, 0.8, 0.1])
    assert metrics.auc(event, score) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(metrics.auc(np.ones(4), score))
    recall, ndcg = metrics.recall_and_ndcg(np.array([7, 8, 9]), np.array([5, 8, 7, 1]), k=3)
    assert recall == pytest.approx(2 / 3)
    assert ndcg == pytest.approx((1 / np.log2(3) + 1 / 2) / (1 + 1 / np.log2(3) + 1 / 2))
    assert metrics.recall_and_ndcg(np.array([1]), np.array([], dtype=int)) == (0, 0)


def test_probability_metrics_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    p = random.random(500)
    event = (random.random(500) < p).astype(float)
    assert metrics.auc(event, p) == pytest.approx(roc_auc_score(event, p))
    assert metrics.log_loss(event, p) == pytest.approx(sklearn_log_loss(event, p))
    assert metrics.brier(event, p) == pytest.approx(brier_score_loss(event, p))


def test_calibration_error_by_hand() -> None:
    p, event = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0.0, 1, 1, 1])
    assert metrics.ece(event, p, bins=2) == pytest.approx((0.4 + 0.1) / 2)


def test_value_metrics_by_hand() -> None:
    actual, forecast = np.array([0.0, 10, 30]), np.array([5.0, 10, 15])
    assert metrics.mae(actual, forecast) == pytest.approx(20 / 3)
    assert metrics.bias(actual, forecast) == pytest.approx(-0.25)
    assert metrics.spearman(actual, forecast) == metrics.ngini(actual, forecast) == pytest.approx(1)
    assert metrics.ngini(actual, -forecast) == pytest.approx(-1)
    assert metrics.coverage(actual, np.array([0.0, 11, 20]), np.array([1.0, 20, 30])) == pytest.approx(2 / 3)
    assert metrics.explained(np.array([0.0, 0, 9, 9]), np.array([0, 0, 1, 1])) == pytest.approx(1)
    assert metrics.reached(actual, forecast, 1) == 30


def test_date_metrics_by_hand() -> None:
    days, expected = np.array([5.0, 20, np.nan]), np.array([10.0, 12, 8])
    assert metrics.date_error(days, expected) == pytest.approx(6.5)
    assert metrics.concordance(days, expected, 30) == pytest.approx(1 / 3)  # only 5 before 20 is right


def test_rules_by_hand() -> None:
    names = ("days_since_last_order", "frequency", "T", "gap_mean", "orders_365d", "spend_365d")
    now = Columns(np.array([[10, 3, 40, 12, 4, 80], [200, 0, 730, np.nan, 1, 73]], dtype=np.float32), names)
    rates = no_order_in_n_days(now, now, np.array([0.0, 1]), 90)
    assert rates["churn"] == pytest.approx([1 / 3, 2 / 3])
    assert last_year_rate(now, 73)["orders"] == pytest.approx([4, 1 / 5])  # tenure below the horizon counts as one
    assert last_year_rate(now, 73)["mean"] == pytest.approx([80, 73 / 5])
    assert mean_gap(now)["days"] == pytest.approx([2, 1])
    assert recency_frequency_logistic(now, now, np.array([1.0, 1])) == {}


def world(customers: int = 600, seed: int = 0) -> tuple[Truth, np.ndarray]:
    """What came, and each customer's rate of orders in the horizon."""
    random = np.random.default_rng(seed)
    rate = random.gamma(0.5, 2, customers)
    orders = random.poisson(rate).astype(float)
    days = np.where(orders > 0, np.ceil(90 * random.random(customers) / np.maximum(orders, 1)), np.nan)
    return Truth(orders, orders * random.lognormal(3, 1, customers), days, orders > 0, 90), rate


def forecaster(truth: Truth, rate: np.ndarray, noise: float) -> dict[str, np.ndarray]:
    """Answers of someone who knows the rates but for noise."""
    random = np.random.default_rng(9)
    guess = rate * np.exp(random.normal(0, noise, len(rate)))
    hits = np.where(truth.has_basket, 0.4 / (1 + noise) + random.normal(0, 0.05, len(rate)), np.nan)
    return {
        "churn": np.exp(-guess), "orders": guess, "mean": guess * 33, "median": guess * 20, "low": guess * 5,
        "high": guess * 80, "segment": np.digitize(guess, [0.2, 1, 3]), "days": 90 / np.maximum(guess, 0.01),
        "recall": hits, "ndcg": hits,
    }  # fmt: skip


def methods(truth: Truth, rate: np.ndarray) -> Methods:
    """Ours is good, the rules are poor."""
    poor = forecaster(truth, rate, 2.0)
    return {
        OURS: forecaster(truth, rate, 0.3),
        "no_order_in_n_days": {"churn": poor["churn"], "churn_rank": poor["churn"]},
        "last_year_rate": {name: poor[name] for name in ("orders", "mean", "median")},
        "own_favourites": {name: poor[name] for name in ("recall", "ndcg")},
        "recency_quartiles": {"segment": poor["segment"]},
    }


def test_better_than_the_rules() -> None:
    truth, rate = world()
    verdict = reach_verdict("2026-01-01-aaaaaa", None, truth, methods(truth, rate))
    assert verdict.accepted
    assert set(verdict.grades.values()) == {"better"}
    assert len(verdict.money) == 2
    assert "contacting 60 customers (10 %)" in verdict.money[0]


def test_a_budget_in_customers_and_money_by_hand() -> None:
    """Ten customers, one may be contacted; c took most with him, but a is not active any more."""
    lost = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    recent = np.array([0.0, 90, 80, 10, 5, 5, 5, 5, 5, 5])
    spend = np.where(lost > 0, 0.0, recent)
    truth = Truth(1.0 - lost, spend, np.full(10, np.nan), np.zeros(10, bool), 90, recent)
    assert truth.lost_spend.tolist() == [0, 0, 80, 10, 0, 0, 0, 0, 0, 0]
    churn = np.array([0.99, 0.1, 0.6, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert judge.lost_spend_reached(truth, churn) == pytest.approx(80 / 90)
    assert judge.lost_spend_reached(truth, np.ones(10)) == 0  # the largest active customer stayed
    assert np.isnan(judge.lost_spend_reached(replace(truth, recent=None), churn))
    told: Methods = {
        OURS: {"churn": churn, "mean": spend},
        "no_order_in_n_days": {"churn": churn, "churn_rank": np.arange(10.0)},
        "last_year_rate": {"mean": np.arange(10.0)},
        CHAMPION: {"churn": 1 - churn, "mean": spend},
    }
    lines = _money(truth, told)
    assert "1 customer (10 %), those most likely lost first: 1 of 3 lost customers" in lines[0]
    assert "90 of 120 spent, 5 by last year's spend, 90 by the champion" in lines[1]
    assert "80 of 90 spent in the last 90 days by those lost since, 0 by the champion, 0 by spend" in lines[2]


def test_the_same_models_again_are_no_worse() -> None:
    truth, rate = world()
    told = methods(truth, rate)
    verdict = reach_verdict("2026-01-01-aaaaaa", "2025-12-01-bbbbbb", truth, told | {CHAMPION: told[OURS]})
    assert verdict.accepted
    assert {each.grade for found in verdict.beside_champion.values() for each in found} == {"level"}


def test_worse_than_the_champion_is_not_accepted() -> None:
    truth, rate = world()
    told = methods(truth, rate)
    told |= {CHAMPION: told[OURS], OURS: told[OURS] | {"churn": forecaster(truth, rate, 1.5)["churn"]}}
    verdict = reach_verdict("2026-01-01-aaaaaa", "2025-12-01-bbbbbb", truth, told)
    assert verdict.accepted is False
    assert verdict.reasons[0].startswith("churn is worse than the champion's: auc 0.")


def test_a_silent_champion_leaves_the_release_unjudged() -> None:
    truth, rate = world()
    verdict = reach_verdict("a", "b", truth, methods(truth, rate), silent="its horizon is 30 days, not 90")
    assert verdict.accepted is None
    assert verdict.reasons == ("champion b cannot be judged beside: its horizon is 30 days, not 90",)


@pytest.mark.parametrize("customers", [0, 1, 30])
def test_too_few_customers_are_unjudged_with_a_reason(customers: int) -> None:
    truth, rate = world(customers)
    told = methods(truth, rate) if customers else {}
    first, later = (reach_verdict("a", champion, truth, told) for champion in (None, "b"))
    assert first.accepted  # there is nothing better yet
    assert later.accepted is None
    assert set(first.grades.values()) == {"unjudged"}
    assert first.reasons[0] == f"churn is not judged: {customers} holdout customers, 50 needed"
    assert report.table(judge.score(truth, told), first)


def test_verdicts_survive_json() -> None:
    truth, rate = world()
    told = methods(truth, rate)
    verdict = reach_verdict("a", "b", truth, told | {CHAMPION: forecaster(truth, rate, 1.0)}, warnings=["mind"])
    text = json.dumps(report.without_nan(verdict.to_json()), allow_nan=False)
    assert Verdict.from_json(json.loads(text)).to_json() == json.loads(text) | {
        name: tuple(json.loads(text)[name]) for name in ("reasons", "money", "warnings")
    }


def test_the_table_shows_ours_beside_the_others() -> None:
    truth, rate = world()
    told = methods(truth, rate)
    scores = judge.score(truth, told)
    text = report.table(scores, reach_verdict("2026-01-01-aaaaaa", None, truth, told))
    head = next(line for line in text.splitlines() if line.startswith("churn"))
    assert head.split() == ["churn", OURS, "no_order_in_n_days", "better"]
    assert f"{scores['churn']['auc'][OURS]:.3f}" in text
    flat = report.flat(scores)
    assert flat["churn/auc"] == scores["churn"]["auc"][OURS]
    assert flat["baseline/churn/auc/no_order_in_n_days"] == scores["churn"]["auc"]["no_order_in_n_days"]


def test_pictures_are_drawn(tmp_path: Path) -> None:
    truth, rate = world(120)
    told = methods(truth, rate)
    segments = [{"name": "loyal", "size": 10, "share_of_spend": 0.4, "expected_spend": 12.5}]
    drawn = plots.figures(truth, told, judge.score(truth, told), {"churn": [("recency", 1.0)]}, segments)
    assert set(drawn) == {
        "segments", "importance_churn", "calibration", "gain", "value_by_decile", "next_purchase"
    }  # fmt: skip
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=40)
    nothing = replace(truth.take(np.arange(0)))
    assert set(plots.figures(nothing, {}, {}, {}, segments)) == {"segments"}
