"""The recommender: what it may answer, whatever the shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from features.baskets import baskets_of, visible_baskets
from histories.clock import end_of_day
from histories.history import History
from histories.selection import of_customers
from models.baskets.candidates import FOLLOW_LIMIT, OWN_LIMIT, _moved, own_part
from models.baskets.follow_links import PENALTY, follow_links
from models.baskets.neighbours import without
from models.baskets.recommendation import Want
from models.baskets.targets import MOST_WINDOWS, WINDOWS, first_baskets, windows
from models.next_purchase import NextPurchase, _targets
from tests.pieces import from_python
from tests.shops import toy_history

_moved, own_part = map(from_python, (_moved, own_part))

AS_OF = end_of_day(date(2024, 7, 1), "UTC")
PRODUCTS = [f"p{number:02}" for number in range(24)]


def made_up(customers: int = 90, months: int = 6) -> History:
    """Each customer keeps to three products and adds one at random; half of them meet every month."""
    draw = np.random.default_rng(3)
    rows = []
    for customer in range(customers):
        taste = draw.choice(len(PRODUCTS), 3, replace=False)
        for month in range(1, months + 1):
            bought = {*taste[draw.random(3) < 0.8].tolist(), int(draw.integers(len(PRODUCTS)))}
            at = f"2024-{month:02}-{1 + int(draw.integers(28)):02}"
            rows += [{"customer_id": f"c{customer:03}", "occurred_at": at, "product_id": PRODUCTS[p]} for p in bought]
    return toy_history(rows)


@pytest.fixture(scope="module")
def history() -> History:
    return made_up()


@pytest.fixture(scope="module")
def model(history: History) -> NextPurchase:
    return NextPurchase.fit(history, AS_OF, threads=1)


def test_answers_are_k_distinct_products_with_falling_probabilities(model: NextPurchase, history: History) -> None:
    assert model.ranker is not None
    for answer in model.recommend(history, AS_OF, 10):
        assert len({item.product for item in answer}) == 10
        scores = [item.score for item in answer]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert all(item.reason for item in answer)


def test_one_alone_is_the_same_as_in_the_batch(model: NextPurchase, history: History) -> None:
    together = model.recommend(history, AS_OF, 10)
    for customer in (0, 17, 89):
        assert model.recommend(of_customers(history, np.array([customer])), AS_OF, 10) == [together[customer]]


def test_each_gets_what_is_wanted_of_them(model: NextPurchase, history: History) -> None:
    wants = [Want(), Want(), Want(3), Want(5, exclude=(3, 4)), Want(5, repeat="none"), Want(5, basket=(1, 2)), Want(3)]
    some = of_customers(history, np.arange(len(wants)))
    found = model.recommend_each(some, AS_OF, wants)
    for customer, (want, answer) in enumerate(zip(wants, found, strict=True)):
        options = want._asdict()
        assert model.recommend(some, AS_OF, options.pop("k"), **options)[customer] == answer
    assert list(map(len, found)) == [10, 10, 3, 5, 5, 5, 3]
    assert model.recommend_each(of_customers(history, np.arange(0)), AS_OF, []) == []


def test_saved_and_loaded_it_says_the_same(model: NextPurchase, history: History, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert NextPurchase.load(tmp_path).recommend(history, AS_OF, 5) == model.recommend(history, AS_OF, 5)


def test_fitted_again_it_says_the_same(model: NextPurchase, history: History) -> None:
    again = NextPurchase.fit(history, AS_OF, threads=1)
    assert again.recommend(history, AS_OF, 5) == model.recommend(history, AS_OF, 5)


def test_own_products_come_first(model: NextPurchase, history: History) -> None:
    first = [answer[0].reason for answer in model.recommend(history, AS_OF, 1)]
    assert np.mean([reason.startswith("bought") for reason in first]) > 0.9


def test_excluded_sold_out_unsellable_and_cart_products_never_appear(model: NextPurchase, history: History) -> None:
    catalog = history.catalog
    in_stock, sellable = np.ones(len(catalog), dtype=bool), np.ones(len(catalog), dtype=bool)
    in_stock[:5], sellable[5:8] = False, False
    shop = replace(history, catalog=replace(catalog, in_stock=in_stock, sellable=sellable))
    for answer in model.recommend(shop, AS_OF, 20, exclude=(8, 9), basket=(10,)):
        assert {item.product for item in answer} == set(range(11, len(catalog)))
    kept = {item.product for answer in model.recommend(shop, AS_OF, 24, in_stock_only=False) for item in answer}
    assert kept == set(range(5)) | set(range(8, len(catalog)))


@pytest.mark.parametrize("repeat", ["only", "none"])
def test_repeat_keeps_to_own_or_to_new_products(model: NextPurchase, history: History, repeat: str) -> None:
    index = np.arange(len(history.catalog), dtype=np.int32)
    baskets = visible_baskets(history.lines, AS_OF, index)
    for customer, answer in enumerate(model.recommend(history, AS_OF, 24, repeat=repeat)):  # type: ignore[arg-type]
        begin, end = baskets.item_start[baskets.start[customer : customer + 2]]
        own = set(baskets.item[begin:end].tolist())
        assert {item.product for item in answer} == (own if repeat == "only" else set(index.tolist()) - own)


def test_codes_may_change_between_fit_and_call(model: NextPurchase, history: History) -> None:
    """Another store gives the same products other codes, and has one more."""
    turn = np.arange(len(history.catalog))[::-1]
    ids = np.append(history.catalog.product_id[turn], "brand new").astype(object)
    catalog = history.catalog
    longer = replace(
        catalog,
        product_id=ids,
        name=ids,
        category=np.full(len(ids), -1, dtype=np.int32),
        price=np.full(len(ids), np.nan),
        in_stock=np.ones(len(ids), dtype=bool),
        sellable=np.ones(len(ids), dtype=bool),
        code_of={str(product): code for code, product in enumerate(ids)},
    )
    product = (len(turn) - 1 - history.lines.product).astype(np.int32)
    moved = replace(history, lines=replace(history.lines, product=product), catalog=longer)
    before = [[str(catalog.product_id[i.product]) for i in a] for a in model.recommend(history, AS_OF, 5)]
    after = [[str(ids[i.product]) for i in a] for a in model.recommend(moved, AS_OF, 5)]
    assert before == after


def test_a_cart_alone_brings_what_goes_with_it() -> None:
    rows = [
        {"customer_id": f"c{c}", "occurred_at": f"2024-0{month}-1{c % 9}", "product_id": product}
        for c in range(20)
        for month in (1, 2, 3)
        for product in (("tent", "pegs") if c % 2 else ("soap", "towel"))
    ]
    shop = toy_history(rows)
    model = NextPurchase.fit(shop, AS_OF)
    first = model.complements(shop.catalog, (shop.catalog.code_of["tent"],), 2)[0]
    assert (shop.catalog.product_id[first.product], first.reason) == ("pegs", "goes with tent")


def test_targets_follow_the_cut_and_what_is_known_of_them_does_not(history: History) -> None:
    baskets = visible_baskets(history.lines, AS_OF, np.arange(len(history.catalog), dtype=np.int32))
    found = windows(baskets, int(baskets.day.max()))
    assert found
    for window in found:
        customers, targets = first_baskets(baskets, window)
        assert ((baskets.day[targets] > window.cut) & (baskets.day[targets] <= window.until)).all()
        assert (baskets.day[targets - 1] <= window.cut).all()
        assert ((baskets.start[customers] < targets) & (targets < baskets.start[customers + 1])).all()


def test_a_long_history_is_its_own_best_evidence() -> None:
    assert own_part(6) == pytest.approx(6 / 66)
    assert own_part(180) == pytest.approx(0.75)
    assert _moved(own_part(180), OWN_LIMIT) == 0  # nothing is wanted
    assert _moved(own_part(6), 300) == 1
    assert _moved(own_part(180), 300) == 11
    assert _moved(own_part(10**6), 10**6) == FOLLOW_LIMIT - 1  # a new product or two are always asked about


def test_older_windows_are_asked_only_for_want_of_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = made_up(customers=10, months=9)
    late = end_of_day(date(2024, 10, 1), "UTC")
    baskets = visible_baskets(shop.lines, late, np.arange(len(shop.catalog), dtype=np.int32))
    today = int(baskets.day.max())
    assert WINDOWS < len(list(_targets(baskets, today, 0))) <= MOST_WINDOWS
    assert len(windows(baskets, today + 1000)) == MOST_WINDOWS
    monkeypatch.setattr("models.next_purchase.ENOUGH", 1)
    assert len(list(_targets(baskets, today, 0))) == WINDOWS


def test_nothing_after_as_of_changes_the_model(history: History) -> None:
    early = end_of_day(date(2024, 5, 1), "UTC")
    later = history.lines.occurred_at > early
    scrambled = np.where(later, (history.lines.product + 7) % len(PRODUCTS), history.lines.product).astype(np.int32)
    other = replace(history, lines=replace(history.lines, product=scrambled))
    answers = [NextPurchase.fit(h, early, threads=1).recommend(h, early, 5) for h in (history, other)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "rows",
    [
        [{"customer_id": "a", "occurred_at": "2024-01-01"}],
        [{"customer_id": "a", "occurred_at": "2024-01-01", "product_id": "tea"}],
        [{"customer_id": f"c{n}", "occurred_at": "2024-01-01", "product_id": "tea"} for n in range(30)],
        [{"customer_id": f"c{n}", "occurred_at": "2024-01-01", "product_id": f"p{n}"} for n in range(30)],
        [{"customer_id": "a", "occurred_at": "2025-01-01", "product_id": "tea"}],
    ],
    ids=["no products", "one line", "one product", "one order each", "all in the future"],
)
def test_odd_shops_get_an_answer(rows: list[dict[str, object]], tmp_path: Path) -> None:
    shop = toy_history(rows)
    model = NextPurchase.fit(shop, AS_OF)
    model.save(tmp_path)
    answers = NextPurchase.load(tmp_path).recommend(shop, AS_OF, 10)
    assert len(answers) == len(shop)
    assert all(np.isfinite(item.score) for answer in answers for item in answer)
    model.popular(shop.catalog, 3)


def test_upsell_is_the_same_category_at_a_higher_price(model: NextPurchase, history: History) -> None:
    catalog, size = history.catalog, len(history.catalog)
    priced = replace(
        catalog,
        category=(np.arange(size) % 3).astype(np.int32),
        categories=("a", "b", "c"),
        price=np.where(np.arange(size) == 21, np.nan, np.arange(size)),
    )
    shop = replace(history, catalog=priced)
    for answer in [
        *model.recommend(shop, AS_OF, 10, basket=(9, 1), upsell=True),
        model.popular(priced, 10, basket=(9, 1), upsell=True),
    ]:
        above = {12, 15, 18} | {4, 7, 10, 13, 16, 19, 22}
        assert {item.product for item in answer} <= above
        assert len(answer) == 10
        assert {item.reason for item in answer if item.product in (12, 15, 18)} == {"dearer alternative to p09"}
    assert model.recommend(shop, AS_OF, 10, basket=(21,), upsell=True)[0] == []


def test_a_customer_is_not_their_own_neighbour_after_erasure(model: NextPurchase, history: History) -> None:
    pool = without(model.evidence.pool, np.array([0, 3], dtype=np.int32))
    assert not np.isin(pool.owner, (0, 3)).any()
    assert np.diff(pool.start)[[0, 3]].tolist() == [0, 0]
    assert len(pool.owner) == pool.by_item[-1]


def test_the_linear_forecast_finds_what_follows() -> None:
    """Tea is always followed by milk, never the other way round."""
    rows = [
        {"customer_id": f"c{c:03}", "occurred_at": f"2024-01-{day:02}", "product_id": product}
        for c in range(300)
        for day, product in ((1, "tea" if c % 2 else "soap"), (9, "milk" if c % 2 else "towel"))
    ]
    shop = toy_history(rows)
    index = np.arange(len(shop.catalog), dtype=np.int32)
    follow = follow_links(visible_baskets(shop.lines, AS_OF, index), len(index), 0)
    code = shop.catalog.code_of
    begin, end = follow.start[code["tea"]], follow.start[code["tea"] + 1]
    weights = dict(zip(follow.item[begin:end].tolist(), follow.weight[begin:end].tolist(), strict=True))
    assert weights[code["milk"]] == pytest.approx(150 / (150 + PENALTY), rel=1e-4)
    assert weights.get(code["towel"], 0.0) == pytest.approx(0.0, abs=1e-6)


def test_some_customers_baskets_are_theirs(history: History) -> None:
    index = np.arange(len(history.catalog), dtype=np.int32)
    who = np.array([3, 17, 80])
    part = baskets_of(visible_baskets(history.lines, AS_OF, index), who)
    alone = visible_baskets(of_customers(history, who).lines, AS_OF, index)
    for ours, theirs in zip(part, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_many_customers_in_threads_get_the_same(model: NextPurchase, history: History) -> None:
    many = of_customers(history, np.arange(1200) % len(history))
    assert model.recommend(many, AS_OF, 5, threads=2) == model.recommend(many, AS_OF, 5)
