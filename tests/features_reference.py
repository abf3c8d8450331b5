"""The feature row again, slowly and plainly, from the meanings of the columns: what the kernel is tested against."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from types import SimpleNamespace

from features.blocks.trend import HALF_LIVES
from features.blocks.trend import SPANS as TREND_SPANS
from features.blocks.windows import WINDOWS
from histories.clock import DAY, local_day
from histories.history import EVENT_KINDS, PURCHASE, RETURN, History

NAN = math.nan
LINE = ("occurred_at", "recorded_at", "voided_at", "local_day", "local_hour", "kind", "product", "quantity", "amount")


def ratio(part, whole):
    return part / whole if whole > 0 else NAN


def stdev(values):
    return statistics.stdev(values) if len(values) > 1 else NAN


def entropy(values):
    shares = [count / len(values) for count in Counter(values).values()]
    return -sum(share * math.log(share) for share in shares)


def mode(values):
    counts = Counter(values)
    return min(value for value in counts if counts[value] == max(counts.values()))


def slope(values):
    """Least squares by the textbook, relative to the mean."""
    if len(values) < 3 or statistics.mean(values) <= 0:
        return NAN
    line = statistics.linear_regression(range(len(values)), values)
    return line.slope / statistics.mean(values)


def reference_row(history: History, i: int, as_of: int, live: bool = False) -> dict[str, float]:
    past = _past(history, i, as_of, live)
    parts = (_recency, _frequency, _money, _windows, _gaps, _trend, _season, _baskets, _repetition, _discounts,
             _returns, _rhythm, _channel, _events)  # fmt: skip
    return {name: value for part in parts for name, value in part(past).items()}


def _past(history, i, as_of, live):
    columns = history.lines
    span = range(columns.offsets[i], columns.offsets[i + 1])
    lines = [SimpleNamespace(**{name: getattr(columns, name)[j].item() for name in (*LINE, "discount", "channel")})
             for j in span]  # fmt: skip
    seen = [line for line in lines if line.occurred_at <= as_of and (live or line.recorded_at <= as_of)]
    seen = [line for line in seen if line.voided_at > as_of]
    bought = [line for line in seen if line.kind == PURCHASE]
    days = sorted({line.local_day for line in bought})
    events = history.events
    return SimpleNamespace(
        as_of=as_of,
        today=local_day(as_of, history.zone),
        bought=bought,
        returned=[line for line in seen if line.kind == RETURN],
        days=days,
        on={day: [line for line in bought if line.local_day == day] for day in days},
        spend=[sum(line.amount for line in bought if line.local_day == day) for day in days],
        events=[(EVENT_KINDS[events.kind[j]], int(events.occurred_at[j]))
                for j in range(events.offsets[i], events.offsets[i + 1])
                if events.occurred_at[j] <= as_of and (live or events.recorded_at[j] <= as_of)],
        category=history.catalog.category,
    )  # fmt: skip


def _recency(past):
    days = past.days
    return {
        "days_since_last_order": past.today - days[-1] if days else NAN,
        "days_since_previous_order": past.today - days[-2] if len(days) > 1 else NAN,
        "recency": days[-1] - days[0] if days else NAN,
        "recency_share": ratio(days[-1] - days[0], past.today - days[0]) if days else NAN,
    }


def _frequency(past):
    tenure = past.today - past.days[0] if past.days else NAN
    months = {(past.today - day) // 30 for day in past.days}
    return {
        "purchases": len(past.days),
        "frequency": max(len(past.days) - 1, 0),
        "T": tenure,
        "tenure_days": tenure,
        "orders_per_30d": 30 * len(past.days) / (tenure + 1),
        "active_months_12": len(months & set(range(12))),
    }


def _money(past):
    spend = past.spend
    if not spend:
        names = ("mean", "median", "std", "cv", "min", "max", "first", "last")
        none = {f"spend_{name}_order": NAN for name in names}
        return none | {"spend_total": 0, "monetary_value": NAN, "spend_max_share": NAN, "spend_per_30d": NAN}
    mean = statistics.mean(spend)
    return {
        "spend_total": sum(spend),
        "spend_mean_order": mean,
        "spend_median_order": statistics.median(spend),
        "spend_std_order": stdev(spend),
        "spend_cv_order": ratio(stdev(spend), mean),
        "spend_min_order": min(spend),
        "spend_max_order": max(spend),
        "spend_first_order": spend[0],
        "spend_last_order": spend[-1],
        "monetary_value": statistics.mean(spend[1:]) if len(spend) > 1 else NAN,
        "spend_max_share": ratio(max(spend), sum(spend)),
        "spend_per_30d": 30 * sum(spend) / (past.today - past.days[0] + 1),
    }


def _windows(past):
    row = {}
    for days in WINDOWS:
        inside = [day for day in past.days if past.today - days < day <= past.today]
        row[f"orders_{days}d"] = len(inside)
        row[f"spend_{days}d"] = sum(line.amount for day in inside for line in past.on[day])
        row[f"lines_{days}d"] = sum(len(past.on[day]) for day in inside)
    return row


GAPS = ("gap_mean", "gap_median", "gap_std", "gap_cv", "gap_min", "gap_max", "gap_last", "gap_recent_mean",
        "gap_recent_ratio", "gap_slope", "overdue", "overdue_median", "overdue_max", "overdue_z",
        "gap_longer_share")  # fmt: skip


def _gaps(past):
    gaps = [later - day for day, later in zip(past.days, past.days[1:], strict=False)]
    if not gaps:
        return dict.fromkeys(GAPS, NAN)
    mean, silence = statistics.mean(gaps), past.today - past.days[-1]
    return {
        "gap_mean": mean,
        "gap_median": statistics.median(gaps),
        "gap_std": stdev(gaps),
        "gap_cv": stdev(gaps) / mean,
        "gap_min": min(gaps),
        "gap_max": max(gaps),
        "gap_last": gaps[-1],
        "gap_recent_mean": statistics.mean(gaps[-3:]),
        "gap_recent_ratio": statistics.mean(gaps[-3:]) / mean,
        "gap_slope": slope(gaps),
        "overdue": silence / mean,
        "overdue_median": silence / statistics.median(gaps),
        "overdue_max": silence / max(gaps),
        "overdue_z": ratio(silence - mean, stdev(gaps)),
        "gap_longer_share": sum(gap > silence for gap in gaps) / len(gaps),
    }


def _trend(past):
    row = {}
    aged = [(past.today - day, spend) for day, spend in zip(past.days, past.spend, strict=True)]
    for span in TREND_SPANS:
        new = [spend for age, spend in aged if age < span]
        both = [spend for age, spend in aged if age < 2 * span]
        row[f"orders_recent_share_{span}d"] = ratio(len(new), len(both))
        row[f"spend_recent_share_{span}d"] = ratio(sum(new), sum(both))
    for half in HALF_LIVES:
        row[f"orders_decayed_{half}d"] = sum(0.5 ** (age / half) for age, _ in aged)
        row[f"spend_decayed_{half}d"] = sum(0.5 ** (age / half) * spend for age, spend in aged)
    mean = statistics.mean(past.spend) if past.spend else NAN
    row["spend_slope"] = slope(past.spend)
    row["spend_recent_ratio"] = ratio(statistics.mean(past.spend[-3:]), mean) if past.spend else NAN
    row["spend_last_ratio"] = ratio(past.spend[-1], mean) if past.spend else NAN
    return row


def _season(past):
    row = {}
    year_ago = past.today - 365
    for name, low, high in (("next_30d", 0, 30), ("next_90d", 0, 90), ("next_180d", 0, 180), ("previous_90d", -90, 0)):
        spend = [s for day, s in zip(past.days, past.spend, strict=True) if year_ago + low < day <= year_ago + high]
        row[f"orders_year_ago_{name}"], row[f"spend_year_ago_{name}"] = len(spend), sum(spend)
    coming = [day for day in past.days if any(1 <= day - (past.today - 365 * k) <= 90 for k in range(1, 60))]
    row["season_share_next_90d"] = ratio(len(coming), len(past.days))
    angle = 2 * math.pi * past.today / 365.2425
    row["as_of_season_sin"], row["as_of_season_cos"] = math.sin(angle), math.cos(angle)
    row["as_of_weekday"] = (past.today + 3) % 7
    return row


def _baskets(past):
    row = dict.fromkeys(("lines_mean_order", "lines_last_order", "units_mean_order", "units_last_order", "price_mean",
                         "price_max", "price_last_ratio"), NAN)  # fmt: skip
    row["lines_total"] = len(past.bought)
    if not past.days:
        return row
    last = past.on[past.days[-1]]
    units, units_last = sum(line.quantity for line in past.bought), sum(line.quantity for line in last)
    price = sum(past.spend) / units
    return row | {
        "lines_mean_order": len(past.bought) / len(past.days),
        "lines_last_order": len(last),
        "units_mean_order": units / len(past.days),
        "units_last_order": units_last,
        "price_mean": price,
        "price_max": max(line.amount / line.quantity for line in past.bought),
        "price_last_ratio": ratio(past.spend[-1] / units_last, price),
    }


def _repetition(past):
    named = [line for line in past.bought if line.product >= 0]
    categories = [int(past.category[line.product]) for line in named if past.category[line.product] >= 0]
    last = [line for line in named if line.local_day == past.days[-1]]

    def repeated(lines):
        return sum(any(e.product == line.product and e.local_day < line.local_day for e in named) for line in lines)

    most = max(Counter(line.product for line in named).values(), default=0)
    return {
        "products_distinct": len({line.product for line in named}),
        "categories_distinct": len(set(categories)),
        "repeat_share": ratio(repeated(named), len(named)),
        "repeat_share_last_order": ratio(repeated(last), len(last)),
        "product_top_share": ratio(most, len(named)),
        "category_top_share": ratio(max(Counter(categories).values(), default=0), len(categories)),
    }


def _discounts(past):
    def rate(lines):
        saved = sum(line.discount for line in lines)
        return ratio(saved, saved + sum(line.amount for line in lines))

    return {
        "discount_share": ratio(sum(line.discount > 0 for line in past.bought), len(past.bought)),
        "discount_rate": rate(past.bought),
        "discount_rate_365d": rate([line for line in past.bought if line.local_day > past.today - 365]),
        "discount_rate_last_order": rate(past.on[past.days[-1]] if past.days else []),
    }


def _returns(past):
    amount = -sum(line.amount for line in past.returned)
    return {
        "returns_lines": len(past.returned),
        "returns_lines_90d": sum(line.local_day > past.today - 90 for line in past.returned),
        "returns_spend": amount,
        "returns_share": ratio(amount, sum(past.spend)),
        "days_since_last_return": past.today - past.returned[-1].local_day if past.returned else NAN,
    }


RHYTHM = ("weekend_share", "weekday_mode", "weekday_last", "weekday_entropy", "morning_share", "evening_share",
          "hour_mode", "hour_last", "hour_entropy")  # fmt: skip


def _rhythm(past):
    if not past.days:
        return dict.fromkeys(RHYTHM, NAN)
    weekdays = [(day + 3) % 7 for day in past.days]
    hours = [past.on[day][0].local_hour for day in past.days]
    values = (statistics.mean(weekday >= 5 for weekday in weekdays), mode(weekdays), weekdays[-1], entropy(weekdays),
              statistics.mean(hour < 12 for hour in hours), statistics.mean(hour >= 18 for hour in hours), mode(hours),
              hours[-1], entropy(hours))  # fmt: skip
    return dict(zip(RHYTHM, values, strict=True))


def _channel(past):
    used = [past.on[day][0].channel for day in past.days]
    used = [channel for channel in used if channel >= 0]
    counts = Counter(used)
    most = max(counts.values(), default=0)
    return {
        "channels_distinct": len(counts),
        "channel_main_share": ratio(most, len(used)),
        "channel_last_is_main": float(counts[used[-1]] == most) if used else NAN,
    }


def _events(past):
    row = {}
    for kind in EVENT_KINDS:
        ages = [past.as_of - at for named, at in past.events if named == kind]
        row[f"{kind}_30d"] = sum(age < 30 * DAY for age in ages)
        row[f"{kind}_90d"] = sum(age < 90 * DAY for age in ages)
        row[f"days_since_{kind}"] = min(ages) / DAY if ages else NAN
    last = past.bought[-1].occurred_at if past.bought else -1
    for kind in ("view", "cart"):
        row[f"{kind}_since_order"] = sum(named == kind and at > last for named, at in past.events)
    return row
