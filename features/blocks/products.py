"""What the customer buys: variety, repetition, basket size and prices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.counting import counter, place_of, places_for
from features.feature import family
from features.numbers import ratio, total
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "products",
    ("lines_total", "lines", "purchase lines, ever"),
    ("lines_mean_order", "lines", "purchase lines per purchase day"),
    ("lines_last_order", "lines", "purchase lines of the last purchase day"),
    ("units_mean_order", "units", "quantity per purchase day"),
    ("units_last_order", "units", "quantity of the last purchase day"),
    ("price_mean", "money", "spend per unit, ever"),
    ("price_max", "money", "highest price paid for a unit"),
    ("price_last_ratio", "ratio", "spend per unit of the last purchase day / price_mean"),
    ("products_distinct", "products", "different products bought"),
    ("categories_distinct", "categories", "different categories bought"),
    ("repeat_share", "share", "of the lines with a product, those whose product was bought on an earlier day"),
    ("repeat_share_last_order", "share", "the same for the lines of the last purchase day"),
    ("product_top_share", "share", "of the lines with a product, those of the product with most lines"),
    ("category_top_share", "share", "of the lines with a category, those of the category with most lines"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n, lines = len(past.day), len(past.order)
    row[0] = lines
    row[1:8] = np.nan
    if n > 0:
        units, price = total(past.units), ratio(total(past.spend), total(past.units))
        row[1], row[2] = lines / n, past.size[n - 1]
        row[3], row[4] = units / n, past.units[n - 1]
        row[5], row[6] = price, past.highest_price
        row[7] = ratio(ratio(past.spend[n - 1], past.units[n - 1]), price)
    _repetition(row[8:], past)


@lean
def _repetition(row: NDArray[np.float32], past: Past) -> None:
    """The note of a product in the table is the first purchase day that had it."""
    places = places_for(len(past.order))
    products, categories = counter(past.table, 0, places), counter(past.table, places, places)
    last = len(past.day) - 1
    named = again = named_last = again_last = sorted_in = 0
    distinct = kinds = top = top_kind = 0
    for k in range(len(past.order)):
        product = past.product[k]
        if product < 0:
            continue
        place = place_of(products, product)
        fresh = products.counts[place] == 0
        products.notes[place] = past.order[k] if fresh else products.notes[place]
        distinct += fresh
        products.counts[place] += 1
        top = max(top, products.counts[place])
        repeated = products.notes[place] < past.order[k]
        named += 1
        again += repeated
        if past.order[k] == last:
            named_last += 1
            again_last += repeated
        category = past.category[product]
        if category >= 0:
            place = place_of(categories, category)
            kinds += categories.counts[place] == 0
            categories.counts[place] += 1
            sorted_in += 1
            top_kind = max(top_kind, categories.counts[place])
    row[0], row[1] = distinct, kinds
    row[2], row[3] = ratio(again, named), ratio(again_last, named_last)
    row[4], row[5] = ratio(top, named), ratio(top_kind, sorted_in)
