"""The feature columns as one SQL statement, for DuckDB."""

from __future__ import annotations

from histories.history import EVENT_KINDS

SPANS = (30, 90, 180, 365)


def query(as_of: int, today: int) -> str:
    """Of tables lines and events as benchmarks.features lays them out; one row per customer with a purchase."""
    return f"""
WITH seen AS (
    SELECT * FROM lines WHERE occurred_at <= {as_of} AND recorded_at <= {as_of} AND voided_at > {as_of}
), bought AS (SELECT * FROM seen WHERE kind = 1),
days AS (
    SELECT customer, day, {today} - day AS age, sum(amount) AS spend, count(*) AS size, sum(quantity) AS units,
           sum(discount) AS saved, arg_min(hour, position) AS hour, arg_min(channel, position) AS channel,
           count(*) FILTER (discount > 0) AS discounted, max(amount / quantity) AS price, max(occurred_at) AS last_at
    FROM bought GROUP BY customer, day
), ranked AS (
    SELECT *, (day + 3) % 7 AS weekday, day - lag(day) OVER w AS gap, row_number() OVER w AS k,
           count(*) OVER (PARTITION BY customer) AS n, min(age) OVER (PARTITION BY customer) AS silence
    FROM days WINDOW w AS (PARTITION BY customer ORDER BY day)
), per AS (SELECT customer, {", ".join(_per_customer())} FROM ranked GROUP BY customer),
weekdays AS (
    SELECT customer, arg_max(weekday, 100 * c - weekday) AS weekday_mode
    FROM (SELECT customer, weekday, count(*) AS c FROM ranked GROUP BY ALL) GROUP BY customer
), hours AS (
    SELECT customer, arg_max(hour, 100 * c - hour) AS hour_mode
    FROM (SELECT customer, hour, count(*) AS c FROM ranked GROUP BY ALL) GROUP BY customer
), channels AS (
    SELECT customer, count(*) AS channels_distinct, max(c) / sum(c) AS channel_main_share,
           (arg_max(c, k) = max(c))::INT AS channel_last_is_main
    FROM (SELECT customer, channel, count(*) AS c, max(k) AS k FROM ranked WHERE channel >= 0 GROUP BY ALL)
    GROUP BY customer
), products AS (
    SELECT customer, product, any_value(category) AS category, count(*) AS c, min(day) AS first_day
    FROM bought WHERE product >= 0 GROUP BY customer, product
), variety AS (
    SELECT customer, count(*) AS products_distinct, max(c) / sum(c) AS product_top_share FROM products GROUP BY customer
), kinds AS (
    SELECT customer, count(*) AS categories_distinct, max(c) / sum(c) AS category_top_share
    FROM (SELECT customer, category, sum(c) AS c FROM products WHERE category >= 0 GROUP BY ALL) GROUP BY customer
), repeats AS (
    SELECT customer, avg((day > first_day)::INT) AS repeat_share,
           avg((day > first_day)::INT) FILTER ({today} - day = days_since_last_order) AS repeat_share_last_order
    FROM bought JOIN products USING (customer, product) JOIN per USING (customer) GROUP BY customer
), back AS (
    SELECT customer, count(*) AS returns_lines, count(*) FILTER ({today} - day < 90) AS returns_lines_90d,
           -sum(amount) AS returns_spend, {today} - max(day) AS days_since_last_return
    FROM seen WHERE kind = -1 GROUP BY customer
), happened AS (
    SELECT customer, {", ".join(_events(as_of))}
    FROM events LEFT JOIN per USING (customer) WHERE occurred_at <= {as_of} AND recorded_at <= {as_of}
    GROUP BY customer
)
SELECT per.*, weekday_mode, hour_mode, coalesce(channels_distinct, 0) AS channels_distinct, channel_main_share,
       channel_last_is_main, coalesce(products_distinct, 0) AS products_distinct, product_top_share,
       coalesce(categories_distinct, 0) AS categories_distinct, category_top_share, repeat_share,
       repeat_share_last_order, coalesce(returns_lines, 0) AS returns_lines,
       coalesce(returns_lines_90d, 0) AS returns_lines_90d, coalesce(returns_spend, 0) AS returns_spend,
       coalesce(returns_spend, 0) / spend_total AS returns_share, days_since_last_return,
       {", ".join(_event_columns())},
       sin({today} * 2 * pi() / 365.2425) AS as_of_season_sin, cos({today} * 2 * pi() / 365.2425) AS as_of_season_cos,
       ({today} + 3) % 7 AS as_of_weekday
FROM per LEFT JOIN weekdays USING (customer) LEFT JOIN hours USING (customer) LEFT JOIN channels USING (customer)
LEFT JOIN variety USING (customer) LEFT JOIN kinds USING (customer) LEFT JOIN repeats USING (customer)
LEFT JOIN back USING (customer) LEFT JOIN happened USING (customer) ORDER BY customer"""


def _per_customer() -> list[str]:
    last = "FILTER (k = n)"
    columns = {
        "days_since_last_order": "min(age)",
        "days_since_previous_order": "max(age) FILTER (k = n - 1)",
        "recency": "max(age) - min(age)",
        "recency_share": "(max(age) - min(age)) / nullif(max(age), 0)",
        "purchases": "count(*)",
        "frequency": "count(*) - 1",
        "T": "max(age)",
        "tenure_days": "max(age)",
        "orders_per_30d": "30.0 * count(*) / (max(age) + 1)",
        "active_months_12": "count(DISTINCT age // 30) FILTER (age < 360)",
        "spend_total": "sum(spend)",
        "spend_mean_order": "avg(spend)",
        "spend_median_order": "median(spend)",
        "spend_std_order": "stddev_samp(spend)",
        "spend_cv_order": "stddev_samp(spend) / avg(spend)",
        "spend_min_order": "min(spend)",
        "spend_max_order": "max(spend)",
        "spend_first_order": "max(spend) FILTER (k = 1)",
        "spend_last_order": f"max(spend) {last}",
        "monetary_value": "avg(spend) FILTER (k > 1)",
        "spend_max_share": "max(spend) / sum(spend)",
        "spend_per_30d": "30 * sum(spend) / (max(age) + 1)",
        "gap_mean": "avg(gap)",
        "gap_median": "median(gap)",
        "gap_std": "stddev_samp(gap)",
        "gap_cv": "stddev_samp(gap) / avg(gap)",
        "gap_min": "min(gap)",
        "gap_max": "max(gap)",
        "gap_last": f"max(gap) {last}",
        "gap_recent_mean": "avg(gap) FILTER (k > n - 3)",
        "gap_recent_ratio": "avg(gap) FILTER (k > n - 3) / avg(gap)",
        "gap_slope": "CASE WHEN count(gap) > 2 THEN regr_slope(gap, k) / avg(gap) END",
        "overdue": "min(age) / avg(gap)",
        "overdue_median": "min(age) / median(gap)",
        "overdue_max": "min(age) / max(gap)",
        "overdue_z": "(min(age) - avg(gap)) / nullif(stddev_samp(gap), 0)",
        "gap_longer_share": "avg((gap > silence)::INT)",
        "spend_slope": "CASE WHEN count(*) > 2 THEN regr_slope(spend, k) / avg(spend) END",
        "spend_recent_ratio": "avg(spend) FILTER (k > n - 3) / avg(spend)",
        "spend_last_ratio": f"max(spend) {last} / avg(spend)",
        "season_share_next_90d": "avg((age % 365 >= 275)::INT)",
        "lines_total": "sum(size)",
        "lines_mean_order": "avg(size)",
        "lines_last_order": f"max(size) {last}",
        "units_mean_order": "avg(units)",
        "units_last_order": f"max(units) {last}",
        "price_mean": "sum(spend) / sum(units)",
        "price_max": "max(price)",
        "price_last_ratio": f"max(spend / units) {last} / (sum(spend) / sum(units))",
        "discount_share": "sum(discounted) / sum(size)",
        "discount_rate": "sum(saved) / (sum(saved) + sum(spend))",
        "discount_rate_365d": "sum(saved) FILTER (age < 365) / (sum(saved + spend) FILTER (age < 365))",
        "discount_rate_last_order": f"max(saved / (saved + spend)) {last}",
        "weekend_share": "avg((weekday > 4)::INT)",
        "weekday_last": f"max(weekday) {last}",
        "weekday_entropy": "entropy(weekday) * ln(2)",
        "morning_share": "avg((hour < 12)::INT)",
        "evening_share": "avg((hour >= 18)::INT)",
        "hour_last": f"max(hour) {last}",
        "hour_entropy": "entropy(hour) * ln(2)",
        "last_at": "max(last_at)",
    }
    for days in (7, 14, 30, 60, 90, 180, 365):
        columns[f"orders_{days}d"] = f"count(*) FILTER (age < {days})"
        columns[f"spend_{days}d"] = f"coalesce(sum(spend) FILTER (age < {days}), 0)"
        columns[f"lines_{days}d"] = f"coalesce(sum(size) FILTER (age < {days}), 0)"
    for days in SPANS:
        both = f"FILTER (age < {2 * days})"
        columns[f"orders_recent_share_{days}d"] = f"avg((age < {days})::INT) {both}"
        columns[f"spend_recent_share_{days}d"] = (
            f"coalesce(sum(spend) FILTER (age < {days}), 0) / nullif(sum(spend) {both}, 0)"
        )
    for days in (30, 90, 360):
        columns[f"orders_decayed_{days}d"] = f"sum(0.5 ** (age / {days}))"
        columns[f"spend_decayed_{days}d"] = f"sum(spend * 0.5 ** (age / {days}))"
    for name, low, high in (("next_30d", 335, 365), ("next_90d", 275, 365), ("next_180d", 185, 365),
                            ("previous_90d", 365, 455)):  # fmt: skip
        inside = f"FILTER (age >= {low} AND age < {high})"
        columns[f"orders_year_ago_{name}"] = f"count(*) {inside}"
        columns[f"spend_year_ago_{name}"] = f"coalesce(sum(spend) {inside}, 0)"
    return [f"{expression} AS {name}" for name, expression in columns.items()]


def _events(as_of: int) -> list[str]:
    day = 86_400_000_000
    columns = []
    for code, kind in enumerate(EVENT_KINDS):
        for days in (30, 90):
            columns.append(
                f"count(*) FILTER (kind = {code} AND {as_of} - occurred_at < {days * day}) AS {kind}_{days}d"
            )
        columns.append(f"({as_of} - max(occurred_at) FILTER (kind = {code})) / {day} AS days_since_{kind}")
    for code, kind in enumerate(("view", "cart")):
        columns.append(f"count(*) FILTER (kind = {code} AND occurred_at > coalesce(last_at, -1)) AS {kind}_since_order")
    return columns


def _event_columns() -> list[str]:
    counts = [f"{kind}_{days}d" for kind in EVENT_KINDS for days in (30, 90)] + ["view_since_order", "cart_since_order"]
    return [f"coalesce({name}, 0) AS {name}" for name in counts] + [f"days_since_{kind}" for kind in EVENT_KINDS]
