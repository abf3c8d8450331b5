"""The feature columns as lazy expressions, for Polars."""

from __future__ import annotations

import math

import polars as pl

from histories.history import EVENT_KINDS

_DAY = 86_400_000_000
_YEAR_AGO = (("next_30d", 335, 365), ("next_90d", 275, 365), ("next_180d", 185, 365), ("previous_90d", 365, 455))


def plan(lines: pl.LazyFrame, events: pl.LazyFrame, as_of: int, today: int) -> pl.LazyFrame:
    """Of frames as benchmarks.features lays them out; one row per customer with a purchase."""
    c = pl.col
    seen = lines.filter(c("occurred_at") <= as_of, c("recorded_at") <= as_of, c("voided_at") > as_of)
    bought = seen.filter(c("kind") == 1)
    days = _days(bought, today)
    per = days.group_by("customer").agg(**_money(), **_gaps(), **_windows(), **_rhythm())
    parts = [_variety(bought, today), _returns(seen, today), _events(events, per, as_of)]
    for part in parts:
        per = per.join(part, on="customer", how="left")
    counts = [f"{kind}_{span}d" for kind in EVENT_KINDS for span in (30, 90)]
    counts += ["view_since_order", "cart_since_order", "returns_lines", "returns_lines_90d", "returns_spend"]
    counts += ["products_distinct", "categories_distinct", "channels_distinct"]
    angle = 2 * math.pi * today / 365.2425
    return (
        per.with_columns(c(name).fill_null(0) for name in counts)
        .with_columns(
            returns_share=c("returns_spend") / c("spend_total"),
            as_of_season_sin=pl.lit(math.sin(angle)),
            as_of_season_cos=pl.lit(math.cos(angle)),
            as_of_weekday=pl.lit((today + 3) % 7),
        )
        .sort("customer")
    )


def _days(bought: pl.LazyFrame, today: int) -> pl.LazyFrame:
    """One row per purchase day, in order."""
    c = pl.col
    price = c("amount") / c("quantity")
    return (
        bought.group_by("customer", "day")
        .agg(
            spend=c("amount").sum(), size=pl.len(), units=c("quantity").sum(), saved=c("discount").sum(),
            discounted=(c("discount") > 0).sum(), price=price.max(), last_at=c("occurred_at").max(),
            hour=c("hour").sort_by("position").first(), channel=c("channel").sort_by("position").first(),
        )
        .sort("customer", "day")
        .with_columns(age=(today - c("day")).cast(pl.Float64), weekday=(c("day") + 3) % 7,
                      gap=c("day").diff().over("customer").cast(pl.Float64))
    )  # fmt: skip


def _positive(expression: pl.Expr) -> pl.Expr:
    return pl.when(expression > 0).then(expression)


def _slope(column: str) -> pl.Expr:
    values = pl.col(column).drop_nulls()
    k = pl.int_range(values.len()).cast(pl.Float64)
    return pl.when(values.len() > 2).then(pl.cov(values, k) / k.var() / values.mean())


def _money() -> dict[str, pl.Expr]:
    c, n = pl.col, pl.len()
    spend, age, units, saved = c("spend"), c("age"), c("units"), c("saved")
    year = age < 365
    return {
        "days_since_last_order": age.min(), "days_since_previous_order": age.get(-2, null_on_oob=True),
        "recency": age.max() - age.min(), "recency_share": (age.max() - age.min()) / _positive(age.max()),
        "purchases": n, "frequency": n - 1, "T": age.max(), "tenure_days": age.max(),
        "orders_per_30d": 30 * n / (age.max() + 1), "active_months_12": (age.filter(age < 360) // 30).n_unique(),
        "spend_total": spend.sum(), "spend_mean_order": spend.mean(), "spend_median_order": spend.median(),
        "spend_std_order": spend.std(), "spend_cv_order": spend.std() / spend.mean(),
        "spend_min_order": spend.min(), "spend_max_order": spend.max(), "spend_first_order": spend.first(),
        "spend_last_order": spend.last(), "monetary_value": spend.slice(1).mean(),
        "spend_max_share": spend.max() / spend.sum(), "spend_per_30d": 30 * spend.sum() / (age.max() + 1),
        "spend_slope": _slope("spend"), "spend_recent_ratio": spend.tail(3).mean() / spend.mean(),
        "spend_last_ratio": spend.last() / spend.mean(),
        "season_share_next_90d": (age % 365 >= 275).mean(),
        "lines_total": c("size").sum(), "lines_mean_order": c("size").mean(), "lines_last_order": c("size").last(),
        "units_mean_order": units.mean(), "units_last_order": units.last(), "price_mean": spend.sum() / units.sum(),
        "price_max": c("price").max(),
        "price_last_ratio": spend.last() / units.last() / (spend.sum() / units.sum()),
        "discount_share": c("discounted").sum() / c("size").sum(),
        "discount_rate": saved.sum() / (saved.sum() + spend.sum()),
        "discount_rate_365d": saved.filter(year).sum() / _positive((saved + spend).filter(year).sum()),
        "discount_rate_last_order": saved.last() / (saved.last() + spend.last()),
        "last_at": c("last_at").max(),
    }  # fmt: skip


def _gaps() -> dict[str, pl.Expr]:
    gap, silence = pl.col("gap"), pl.col("age").min()
    recent = gap.drop_nulls().tail(3).mean()
    return {
        "gap_mean": gap.mean(), "gap_median": gap.median(), "gap_std": gap.std(), "gap_cv": gap.std() / gap.mean(),
        "gap_min": gap.min(), "gap_max": gap.max(), "gap_last": gap.last(), "gap_recent_mean": recent,
        "gap_recent_ratio": recent / gap.mean(), "gap_slope": _slope("gap"), "overdue": silence / gap.mean(),
        "overdue_median": silence / gap.median(), "overdue_max": silence / gap.max(),
        "overdue_z": (silence - gap.mean()) / _positive(gap.std()), "gap_longer_share": (gap > silence).mean(),
    }  # fmt: skip


def _windows() -> dict[str, pl.Expr]:
    age, spend = pl.col("age"), pl.col("spend")
    columns = {}
    for days in (7, 14, 30, 60, 90, 180, 365):
        inside = age < days
        columns[f"orders_{days}d"] = inside.sum()
        columns[f"spend_{days}d"] = spend.filter(inside).sum()
        columns[f"lines_{days}d"] = pl.col("size").filter(inside).sum()
    for days in (30, 90, 180, 365):
        new, both = age < days, age < 2 * days
        columns[f"orders_recent_share_{days}d"] = new.sum() / _positive(both.sum())
        columns[f"spend_recent_share_{days}d"] = spend.filter(new).sum() / _positive(spend.filter(both).sum())
    for half in (30, 90, 360):
        weight = (age * (-math.log(2) / half)).exp()
        columns[f"orders_decayed_{half}d"] = weight.sum()
        columns[f"spend_decayed_{half}d"] = (weight * spend).sum()
    for name, low, high in _YEAR_AGO:
        inside = (age >= low) & (age < high)
        columns[f"orders_year_ago_{name}"] = inside.sum()
        columns[f"spend_year_ago_{name}"] = spend.filter(inside).sum()
    return columns


def _rhythm() -> dict[str, pl.Expr]:
    hour, weekday = pl.col("hour"), pl.col("weekday")
    used = pl.col("channel").filter(pl.col("channel") >= 0)
    counts = used.unique_counts()
    return {
        "weekend_share": (weekday > 4).mean(), "weekday_mode": weekday.mode().min(), "weekday_last": weekday.last(),
        "weekday_entropy": weekday.unique_counts().entropy(), "morning_share": (hour < 12).mean(),
        "evening_share": (hour >= 18).mean(), "hour_mode": hour.mode().min(), "hour_last": hour.last(),
        "hour_entropy": hour.unique_counts().entropy(), "channels_distinct": used.n_unique(),
        "channel_main_share": counts.max() / _positive(used.len()),
        "channel_last_is_main": used.mode().implode().list.contains(used.last()).first(),
    }  # fmt: skip


def _variety(bought: pl.LazyFrame, today: int) -> pl.LazyFrame:
    c = pl.col
    named = bought.filter(c("product") >= 0)
    products = named.group_by("customer", "product").agg(
        lines=pl.len(), first_day=c("day").min(), category=c("category").first()
    )
    variety = products.group_by("customer").agg(
        products_distinct=pl.len(), product_top_share=c("lines").max() / c("lines").sum()
    )
    kinds = products.filter(c("category") >= 0).group_by("customer", "category").agg(c("lines").sum())
    kinds = kinds.group_by("customer").agg(
        categories_distinct=pl.len(), category_top_share=c("lines").max() / c("lines").sum()
    )
    again = c("day") > c("first_day")
    last = bought.group_by("customer").agg(last_day=c("day").max())
    repeats = named.join(products, on=["customer", "product"]).join(last, on="customer").group_by("customer").agg(
        repeat_share=again.mean(), repeat_share_last_order=again.filter(c("day") == c("last_day")).mean()
    )  # fmt: skip
    return variety.join(kinds, on="customer", how="left").join(repeats, on="customer", how="left")


def _returns(seen: pl.LazyFrame, today: int) -> pl.LazyFrame:
    day = pl.col("day")
    return seen.filter(pl.col("kind") == -1).group_by("customer").agg(
        returns_lines=pl.len(), returns_lines_90d=(today - day < 90).sum(), returns_spend=-pl.col("amount").sum(),
        days_since_last_return=today - day.max(),
    )  # fmt: skip


def _events(events: pl.LazyFrame, per: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    c = pl.col
    seen = events.filter(c("occurred_at") <= as_of, c("recorded_at") <= as_of)
    seen = seen.join(per.select("customer", "last_at"), on="customer", how="left")
    age, columns = as_of - c("occurred_at"), {}
    for code, kind in enumerate(EVENT_KINDS):
        for days in (30, 90):
            columns[f"{kind}_{days}d"] = ((c("kind") == code) & (age < days * _DAY)).sum()
        columns[f"days_since_{kind}"] = age.filter(c("kind") == code).min() / _DAY
    for code, kind in enumerate(("view", "cart")):
        columns[f"{kind}_since_order"] = ((c("kind") == code) & (c("occurred_at") > c("last_at").fill_null(-1))).sum()
    return seen.group_by("customer").agg(**columns)
