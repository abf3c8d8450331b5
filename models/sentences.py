"""A sentence for every feature that a marketer reads without a glossary: numbers rounded, one or many, up or down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

from histories.history import EVENT_KINDS

Say = Callable[[float], str]
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_EVENTS = {
    "view": ("product view", "looked at a product"),
    "cart": ("product put into the cart", "put something into the cart"),
    "wishlist": ("product put on the wish list", "put something on the wish list"),
    "search": ("search", "searched"),
    "email_open": ("e-mail opened", "opened an e-mail"),
    "email_click": ("click in an e-mail", "clicked in an e-mail"),
    "support_ticket": ("support ticket", "wrote to support"),
    "other": ("other event", "was seen otherwise"),
}
_IRREGULAR = {
    "product put into the cart": "products put into the cart",
    "product put on the wish list": "products put on the wish list",
    "search": "searches",
    "e-mail opened": "e-mails opened",
    "click in an e-mail": "clicks in e-mails",
    "category": "categories",
}


def count(number: float, thing: str) -> str:
    """1 order, 3 orders, 1.4 orders, no orders."""
    shown = f"{number:,.0f}" if number >= 10 or number == round(number) else f"{number:.1f}"
    if shown == "1":
        return f"1 {thing}"
    return f"{'no' if shown == '0' else shown} {_IRREGULAR.get(thing, thing + 's')}"


def days(number: float) -> str:
    return count(round(number), "day").replace("no days", "less than a day")


def ago(number: float) -> str:
    return "today" if round(number) <= 0 else "yesterday" if round(number) == 1 else f"{days(number)} ago"


def percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:,.0f} times"


def money(amount: float) -> str:
    return f"{amount:,.2f}"


def against(ratio: float, more: str, less: str, same: str) -> str:
    """Which of three holds of a ratio to what is usual."""
    return more if ratio > 1.1 else less if ratio < 0.9 else same


def _clock(hour: float) -> str:
    return f"{hour:02.0f}:00"


_PLAIN: Mapping[str, Say] = {
    "days_since_last_order": lambda v: f"ordered {ago(v)}",
    "days_since_previous_order": lambda v: f"the order before the last was {ago(v)}",
    "recency": lambda v: f"{days(v)} between the first and the last order",
    "recency_share": lambda v: f"was ordering for {percent(v)} of the time since the first order",
    "purchases": lambda v: f"{count(v, 'order')} so far",
    "frequency": lambda v: f"came back {times(v)}".replace(".0 times", " times") if v != 1 else "came back once",
    "T": lambda v: f"first ordered {ago(v)}",
    "tenure_days": lambda v: f"first ordered {ago(v)}",
    "orders_per_30d": lambda v: f"{count(v, 'order')} a month since the first",
    "active_months_12": lambda v: f"ordered in {v:.0f} of the last 12 months",
    "spend_total": lambda v: f"spent {money(v)} in all",
    "spend_mean_order": lambda v: f"spends {money(v)} an order on average",
    "spend_median_order": lambda v: f"half of the orders are of {money(v)} or more",
    "spend_std_order": lambda v: f"orders differ by about {money(v)} from one to the next",
    "spend_cv_order": lambda v: against(2 * v, "sizes of orders vary widely", "orders are much of a size",
                                        "sizes of orders vary somewhat"),
    "spend_min_order": lambda v: f"smallest order {money(v)}",
    "spend_max_order": lambda v: f"largest order {money(v)}",
    "spend_first_order": lambda v: f"first order {money(v)}",
    "spend_last_order": lambda v: f"last order {money(v)}",
    "monetary_value": lambda v: f"repeat orders are of {money(v)} on average",
    "spend_max_share": lambda v: f"the largest order is {percent(v)} of all that was spent",
    "spend_per_30d": lambda v: f"spends {money(v)} a month since the first order",
    "gap_mean": lambda v: f"orders every {days(v)} on average",
    "gap_median": lambda v: f"usually {days(v)} between orders",
    "gap_std": lambda v: f"time between orders varies by about {days(v)}",
    "gap_cv": lambda v: against(2 * v, "orders at irregular times", "orders like clockwork", "orders fairly regularly"),
    "gap_min": lambda v: f"orders were {days(v)} apart at the closest",
    "gap_max": lambda v: f"longest break between orders {days(v)}",
    "gap_last": lambda v: f"{days(v)} between the last two orders",
    "gap_recent_mean": lambda v: f"{days(v)} between recent orders",
    "gap_recent_ratio": lambda v: against(v, f"orders come slower: breaks are {times(v)} the usual",
                                          f"orders come faster: breaks are {percent(v)} of the usual",
                                          "orders come as fast as ever"),
    "gap_slope": lambda v: against(1 + v, f"breaks grow by {percent(abs(v))} from order to order",
                                   f"breaks shrink by {percent(abs(v))} from order to order",
                                   "breaks between orders stay the same"),
    "overdue": lambda v: against(v, f"late: the silence is {times(v)} the average break",
                                 f"not due yet: the silence is {percent(v)} of the average break", "due about now"),
    "overdue_median": lambda v: against(v, f"late: the silence is {times(v)} the usual break",
                                        f"not due yet: the silence is {percent(v)} of the usual break",
                                        "due about now"),
    "overdue_max": lambda v: against(v, f"silent for {times(v)} the longest break so far",
                                     f"has come back after longer breaks: the silence is {percent(v)} of the longest",
                                     "silent for as long as never before"),
    "overdue_z": lambda v: against(1 + v, "silent for longer than the usual spread of breaks explains"
                                   if v > 1 else "a little late by the usual spread of breaks",
                                   "well within the usual spread of breaks", "due about now"),
    "gap_longer_share": lambda v: f"{percent(v)} of the breaks so far were longer than this silence",
    "spend_slope": lambda v: against(1 + v, f"orders grow by {percent(abs(v))} from one to the next",
                                     f"orders shrink by {percent(abs(v))} from one to the next",
                                     "orders stay of one size"),
    "spend_recent_ratio": lambda v: against(v, f"recent orders are {times(v)} the average",
                                            f"recent orders are {percent(v)} of the average",
                                            "recent orders are of average size"),
    "spend_last_ratio": lambda v: against(v, f"the last order was {times(v)} the average",
                                          f"the last order was {percent(v)} of the average",
                                          "the last order was of average size"),
    "season_share_next_90d": lambda v: f"{percent(v)} of all orders fell into the three months ahead, in other years",
    "as_of_season_sin": lambda v: "time of the year",
    "as_of_season_cos": lambda v: "time of the year",
    "as_of_weekday": lambda v: f"asked on one of the {_WEEKDAYS[int(v) % 7]}",
    "lines_total": lambda v: f"{count(v, 'item')} bought so far",
    "lines_mean_order": lambda v: f"{count(v, 'item')} an order on average",
    "lines_last_order": lambda v: f"{count(v, 'item')} in the last order",
    "units_mean_order": lambda v: f"{count(v, 'piece')} an order on average",
    "units_last_order": lambda v: f"{count(v, 'piece')} in the last order",
    "price_mean": lambda v: f"pays {money(v)} a piece on average",
    "price_max": lambda v: f"has paid up to {money(v)} for a piece",
    "price_last_ratio": lambda v: against(v, f"bought dearer last time: {times(v)} the usual price a piece",
                                          f"bought cheaper last time: {percent(v)} of the usual price a piece",
                                          "bought at the usual price last time"),
    "products_distinct": lambda v: f"{count(v, 'different product')} so far",
    "categories_distinct": lambda v: f"from {count(v, 'category')} so far",
    "repeat_share": lambda v: f"{percent(v)} of the items had been bought before",
    "repeat_share_last_order": lambda v: f"{percent(v)} of the last order had been bought before",
    "product_top_share": lambda v: f"{percent(v)} of the items are the favourite product",
    "category_top_share": lambda v: f"{percent(v)} of the items are of the favourite category",
    "discount_share": lambda v: f"{percent(v)} of the items were bought at a discount",
    "discount_rate": lambda v: f"{percent(v)} discount on all that was bought",
    "discount_rate_365d": lambda v: f"{percent(v)} discount over the last year",
    "discount_rate_last_order": lambda v: f"{percent(v)} discount on the last order",
    "returns_lines": lambda v: f"{count(v, 'item')} sent back so far",
    "returns_lines_90d": lambda v: f"{count(v, 'item')} sent back in the last 90 days",
    "returns_spend": lambda v: f"sent back {money(v)} worth so far",
    "returns_share": lambda v: f"sent back {percent(v)} of what was spent",
    "days_since_last_return": lambda v: f"sent something back {ago(v)}",
    "weekend_share": lambda v: f"{percent(v)} of the orders on weekends",
    "weekday_mode": lambda v: f"orders on {_WEEKDAYS[int(v) % 7]} most often",
    "weekday_last": lambda v: f"the last order was on one of the {_WEEKDAYS[int(v) % 7]}",
    "weekday_entropy": lambda v: against(v, "orders on any day of the week", "orders on the same days of the week",
                                         "orders on a few days of the week"),
    "morning_share": lambda v: f"{percent(v)} of the orders before noon",
    "evening_share": lambda v: f"{percent(v)} of the orders after 18:00",
    "hour_mode": lambda v: f"orders around {_clock(v)} most often",
    "hour_last": lambda v: f"the last order was around {_clock(v)}",
    "hour_entropy": lambda v: against(v, "orders at any hour", "orders at the same hours", "orders at a few hours"),
    "channels_distinct": lambda v: f"bought through {count(v, 'channel')}",
    "channel_main_share": lambda v: f"{percent(v)} of the orders through the main channel",
    "channel_last_is_main": lambda v: "the last order came through the usual channel" if v > 0
                            else "the last order came through another channel than usual",
    "view_since_order": lambda v: f"{count(v, 'product view')} since the last order",
    "cart_since_order": lambda v: f"{count(v, 'product put into the cart')} since the last order, unbought",
}  # fmt: skip

# Columns of one form for several windows: pattern, and the sentence from (number of days, value).
_WINDOWED: tuple[tuple[str, Callable[[int, float], str]], ...] = (
    (r"orders_(\d+)d", lambda n, v: f"{count(v, 'order')} in the last {days(n)}"),
    (r"spend_(\d+)d", lambda n, v: f"spent {money(v)} in the last {days(n)}"),
    (r"lines_(\d+)d", lambda n, v: f"{count(v, 'item')} in the last {days(n)}"),
    (r"orders_recent_share_(\d+)d", lambda n, v: _trend("orders", n, v)),
    (r"spend_recent_share_(\d+)d", lambda n, v: _trend("spend", n, v)),
    (r"orders_decayed_(\d+)d", lambda n, v: f"{count(v, 'order')}, those of {days(n)} ago counted half"),
    (r"spend_decayed_(\d+)d", lambda n, v: f"spent {money(v)}, that of {days(n)} ago counted half"),
    (r"orders_year_ago_next_(\d+)d", lambda n, v: f"{count(v, 'order')} in these {days(n)} of last year"),
    (r"spend_year_ago_next_(\d+)d", lambda n, v: f"spent {money(v)} in these {days(n)} of last year"),
    (r"orders_year_ago_previous_(\d+)d", lambda n, v: f"{count(v, 'order')} in the {days(n)} before, last year"),
    (r"spend_year_ago_previous_(\d+)d", lambda n, v: f"spent {money(v)} in the {days(n)} before, last year"),
)


def _trend(what: str, n: int, share: float) -> str:
    direction = against(2 * share, "rise", "fall", "hold")
    return f"{what} {direction if what == 'orders' else direction + 's'}: {percent(share)} of the last {days(2 * n)} " \
           f"fell in the last {n}"  # fmt: skip


def sentence(name: str, value: float | None) -> str:
    """Of a feature's value; None where the customer has none."""
    if name.startswith("attr_"):
        known = "" if value is None else f" ({value:,.6g})"
        return f"attribute {_words(name.removeprefix('attr_'))}{known or ' is not known'}"
    if value is None:
        return _missing(name)
    say = _sayer(name)
    return say(value) if say else f"{_words(name)}: {value:,.4g}"


# What a missing value means, by the beginning of the name.
_MISSING: Mapping[str, str] = {
    "days_since_last_return": "never sent anything back",
    "gap_": "too few orders so far for a rhythm",
    "overdue": "too few orders so far for a rhythm",
    "spend_": "too few orders so far to compare",
    "orders_recent": "too few orders lately for a trend",
    "monetary_value": "no repeat order so far",
    "days_since_previous_order": "no order before the last",
    "channel": "the channel is not known",
    "product_": "the products are not known",
    "repeat_": "the products are not known",
    "category_": "the categories are not known",
}


def _missing(name: str) -> str:
    for kind, (_, done) in _EVENTS.items():
        if name == f"days_since_{kind}":
            return f"never {done}"
    return next((text for start, text in _MISSING.items() if name.startswith(start)), f"{_words(name)} is not known")


def has_sentence(name: str) -> bool:
    return _sayer(name) is not None


@cache
def _sayer(name: str) -> Say | None:
    if name in _PLAIN:
        return _PLAIN[name]
    return _windowed(name) or _event(name)


def _windowed(name: str) -> Say | None:
    for pattern, say in _WINDOWED:
        found = re.fullmatch(pattern, name)
        if found:
            return lambda value, say=say, n=int(found[1]): say(n, value)  # type: ignore[misc]
    return None


def _event(name: str) -> Say | None:
    for kind in EVENT_KINDS:
        thing, done = _EVENTS[kind]
        found = re.fullmatch(rf"{kind}_(\d+)d", name)
        if found:
            return lambda value, n=int(found[1]), thing=thing: f"{count(value, thing)} in the last {days(n)}"  # type: ignore[misc]
        if name == f"days_since_{kind}":
            return lambda value, done=done: f"{done} {ago(value)}"  # type: ignore[misc]
    return None


def _words(name: str) -> str:
    return name.replace("_", " ")
