"""When the next order comes: by hand, in step with churn, and on customers of known rhythm."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from features.attributes import AttributeEncoder
from histories.clock import DAY, end_of_day
from histories.history import History
from models.btyd.bg_nbd import BgNbd
from models.btyd.own_time import OwnTime
from models.churn import Churn
from models.frame import Frame, rows, training_frame
from models.hazard import at_risk, edges_of
from models.trees.boosting import Boosted
from models.when import NOT_COMING, When, _date, _share_out, _spent
from tests.pieces import from_python
from tests.shops import toy_history

_date, _share_out, _spent = map(from_python, (_date, _share_out, _spent))

LAST = date(2024, 6, 30)
AS_OF = end_of_day(LAST, "UTC")


def clockwork(gaps: list[int], each: int = 40, days: int = 500) -> History:
    """Customers who order every `gap` days, each begun on another day, with a day of slack."""
    random = np.random.default_rng(3)
    lines = []
    for gap in gaps:
        for number in range(each):
            day = days - int(random.integers(0, gap))
            while day > 0:
                at = LAST - timedelta(days=days - day)
                lines.append({"customer_id": f"{gap:03}-{number:02}", "occurred_at": f"{at}T10:00"})
                day -= gap + int(random.integers(-1, 2))
    return toy_history(lines)


@pytest.fixture(scope="module")
def shop() -> tuple[History, Frame, Churn, When]:
    history = clockwork([10, 20, 30])
    frame = training_frame(history, AS_OF, 60, AttributeEncoder.fit(history))
    return history, frame, Churn.fit(frame), When.fit(frame)


def ask(shop: tuple[History, Frame, Churn, When], as_of: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days, weeks and churn probabilities of all customers."""
    history, _, churn, when = shop
    X, _ = rows(history, as_of, AttributeEncoder.fit(history))
    lapse = churn.predict(X, as_of)
    return *when.predict(X, as_of, lapse), lapse


def test_bins_are_weeks_and_then_wider() -> None:
    assert edges_of(30).tolist() == [0, 7, 14, 21, 30]
    assert edges_of(3).tolist() == [0, 3]
    long = np.diff(edges_of(365))
    assert edges_of(365)[-1] == 365
    assert (np.diff(long[:-1]) >= 0).all()
    assert len(long) < 25


def test_the_date_by_hand() -> None:
    edges, flat = np.array([0.0, 10, 20]), np.array([0.5, 0.5])
    sure = 1e-6  # an order is sure to come: half of it has come after ln 2 / ln 1e6 of the hazard
    assert _date(sure, flat, edges) == pytest.approx(20 * np.log(2) / np.log(1e6) + 0.5, abs=1e-3)
    middle = 0.5 * (1 + NOT_COMING)  # of coming or not, as likely: the median of those who come, and a little later
    assert _date(0.5, flat, edges) == pytest.approx(20 * np.log(1 - middle / 2) / np.log(0.5) + 0.5)
    assert _date(0.985, flat, edges) == np.inf
    assert _date(0.5, np.array([1e-9, 1.0]), edges) > 10  # nothing can come in the first bin


def test_the_hazard_is_spent_by_hand() -> None:
    edges, share = np.array([0.0, 10, 20]), np.array([0.2, 0.8])
    assert [_spent(day, share, edges) for day in (0, 5, 10, 15, 20, 30)] == pytest.approx([0, 0.1, 0.2, 0.6, 1, 1.5])


def test_an_own_rhythm_counts_for_those_who_are_sure_to_come() -> None:
    common, flat = np.log([0.5, 0.5]), np.zeros(2)
    share = np.empty(2)
    for comes, expected in ((1.0, 0.9), (0.0, 0.5)):
        _share_out(np.log([0.9, 0.1]), flat, common, comes, share)
        assert share[0] == pytest.approx(expected)
    _share_out(np.log([0.9, 0.1]), np.log([1.0, 3.0]), common, 0.0, share)
    assert share[0] == pytest.approx(0.25)  # the shop's time runs three times as fast in the second bin


def test_the_curve_ends_at_the_churn_probability() -> None:
    X = np.ones((3, 12), dtype=np.float32)
    lapse = np.array([0.1, 0.5, 0.99])
    prior = (BgNbd(0.5, 30.0, 0.8, 2.5), BgNbd(0.5, 30.0, 0.8, 2.5, modified=True))
    from models.hazard import COLUMNS

    model = When(COLUMNS, 28, prior, Boosted(None, None), np.full(4, 0.25), OwnTime.even())
    days, weeks = model.predict(X, AS_OF, lapse)
    np.testing.assert_allclose(weeks.sum(axis=1), 1 - lapse)
    assert np.isinf(days).tolist() == [False, False, True]
    short = When(COLUMNS, 14, prior, Boosted(None, None), np.full(2, 0.5), OwnTime.even())
    np.testing.assert_allclose(short.predict(X, AS_OF, lapse)[1].sum(axis=1), 1 - lapse**2)  # as on average before


def test_a_quick_time_brings_the_order_forward(shop: tuple[History, Frame, Churn, When]) -> None:
    history, _, _, when = shop
    X, _ = rows(history, AS_OF, AttributeEncoder.fit(history))
    half = np.full(len(X), 0.5)
    even, early = (replace(when, time=OwnTime(AS_OF / DAY, pace)) for pace in ((), (3.0, 3.0, *[0.5] * 7)))
    assert (early.predict(X, AS_OF, half)[0] < even.predict(X, AS_OF, half)[0]).all()


def test_the_table_ends_where_the_frame_cannot_see(shop: tuple[History, Frame, Churn, When]) -> None:
    _, frame, _, when = shop
    table = at_risk(frame, when.edges)
    seen = (frame.as_of[-1] - frame.as_of[table.row]) / DAY
    assert (when.edges[table.bin + 1] <= seen + 0.5).all()
    came = frame.next_day[table.row[table.came > 0]]
    assert (came > when.edges[table.bin[table.came > 0]]).all()
    assert (came <= when.edges[table.bin[table.came > 0] + 1]).all()


def test_a_customer_of_clockwork_is_expected_at_his_hour(shop: tuple[History, Frame, Churn, When]) -> None:
    history, _, _, _ = shop
    X, names = rows(history, AS_OF, AttributeEncoder.fit(history))
    due = X[:, names.index("gap_median")] - X[:, names.index("days_since_last_order")]
    days, _, _ = ask(shop, AS_OF)
    assert np.median(np.abs(days - due)) < 4
    monthly = X[:, names.index("gap_median")] > 25
    assert np.corrcoef(days[monthly], due[monthly])[0, 1] > 0.7


def test_the_date_moves_as_time_passes_without_an_order(shop: tuple[History, Frame, Churn, When]) -> None:
    dates = np.array([ask(shop, AS_OF + day * DAY)[0] + day for day in range(40)])  # from AS_OF
    first = dates[0]
    assert (dates[5] >= np.minimum(first, 6)).all()
    assert (dates[39] > first + 5).all()  # everybody's date has passed without an order
    never = ask(shop, AS_OF + 2000 * DAY)
    assert np.isinf(never[0][never[2] > 0.985]).all()


def test_weeks_agree_with_churn(shop: tuple[History, Frame, Churn, When]) -> None:
    _, weeks, lapse = ask(shop, AS_OF)
    assert (weeks >= 0).all()
    assert (weeks.sum(axis=1) <= 1 - lapse + 1e-9).all()
