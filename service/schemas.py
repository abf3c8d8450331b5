"""What the HTTP API takes and gives: the public contract as types."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from histories.identity import normal_id

MOST_CUSTOMERS: Final = 1_000  # in one call of predict_many
MOST_LINES: Final = 10_000  # in one history or one post of events
MOST_PRODUCTS: Final = 100  # recommended, or named in a basket


def identifier(value: Any) -> Any:
    """Ids are trimmed strings; a whole number loses its `.0`; leading zeros stay."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return normal_id(str(value))


Id = Annotated[
    str,
    BeforeValidator(identifier),
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$"),
    WithJsonSchema({"type": ["string", "number"], "minLength": 1, "maxLength": 256}),
]
Name = Annotated[str, StringConstraints(max_length=1_000, pattern=r"^[^\x00]*$")]
Instant = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]  # true is no number


class Request(BaseModel):
    """Unknown fields are refused by name: a misspelt option must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OrderLine(Request):
    """One line of an order; amounts in the shop's currency unless `currency` says otherwise."""

    customer_id: Id
    occurred_at: Instant
    order_id: Id | None = None
    product_id: Id | None = None
    quantity: Finite | None = Field(None, description="negative for a return")
    unit_price: Finite | None = None
    amount: Finite | None = Field(None, description="quantity * unit_price, where no unit_price is given")
    category: Name | None = None
    discount: Finite | None = Field(None, ge=0, description="line amount already taken off inside unit_price")
    channel: Name | None = None
    currency: Name | None = None
    recorded_at: Instant | None = Field(None, description="when the shop learned of it; the server's time if missing")
    id: Id | None = Field(None, description="identity of the line; a digest of its content if missing")


class HistoryLine(OrderLine):
    """A line of a history sent along: whose it is need not be said."""

    customer_id: Id | None = None  # type: ignore[assignment]


class Event(Request):
    """What a customer did besides ordering. Events are never purchases."""

    customer_id: Id
    kind: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    occurred_at: Instant
    product_id: Id | None = None
    channel: Name | None = None
    campaign: Name | None = None
    value: Finite | None = None
    recorded_at: Instant | None = None
    id: Id | None = None


class PredictRequest(Request):
    """Exactly one of customer_id, history, or a basket alone says whom it is about."""

    customer_id: Id | None = None
    history: Annotated[tuple[HistoryLine, ...], Field(min_length=1, max_length=MOST_LINES)] | None = None
    as_of: Instant | None = Field(
        None, description="a date (its end in the shop's zone) or an ISO 8601 time; the service's clock if missing"
    )
    k: int = Field(10, ge=1, le=MOST_PRODUCTS, strict=True, description="how many products")
    explain: bool = Field(False, strict=True)
    basket: tuple[Id, ...] = Field((), max_length=MOST_PRODUCTS)
    exclude: tuple[Id, ...] = Field((), max_length=MOST_LINES)
    in_stock_only: bool = Field(True, strict=True)
    repeat: Literal["mixed", "only", "none"] = "mixed"
    upsell: bool = Field(
        False, strict=True, description="only dearer products of the same categories as those in the basket"
    )


class PredictManyRequest(Request):
    customer_ids: list[Id] = Field(min_length=1, max_length=MOST_CUSTOMERS)
    as_of: Instant | None = None
    k: int = Field(10, ge=1, le=MOST_PRODUCTS, strict=True)
    explain: bool = Field(False, strict=True)
    exclude: tuple[Id, ...] = Field((), max_length=MOST_LINES)
    in_stock_only: bool = Field(True, strict=True)
    repeat: Literal["mixed", "only", "none"] = "mixed"


class EventsRequest(Request):
    orders: tuple[OrderLine, ...] = Field((), max_length=MOST_LINES)
    events: tuple[Event, ...] = Field((), max_length=MOST_LINES)


class Product(Request):
    product_id: Id
    name: Name | None = None
    category: Name | None = None
    price: Finite | None = Field(None, ge=0)
    in_stock: bool | None = Field(None, strict=True)


class ProductsRequest(Request):
    products: list[Product] = Field(min_length=1, max_length=MOST_LINES)


class ConsentRequest(Request):
    """Only the purposes named are changed."""

    prediction: bool | None = Field(None, strict=True)
    recommendation: bool | None = Field(None, strict=True)
    training: bool | None = Field(None, strict=True)


Source = Literal["model", "fallback", "withheld"]
Fallback = Literal["segment", "popularity", "prior", "stale", "deadline"]


class Part(BaseModel):
    """Where an answer comes from: never empty, never pretending."""

    source: Source
    fallback: Fallback | None = None


class Reason(BaseModel):
    feature: str
    value: float | None = Field(description="null where the feature has no value for this customer")
    effect: float = Field(description="share of this feature in the model's score; its sign is the direction")
    text: str


class Churn(Part):
    probability: float | None = Field(description="of no purchase within the horizon; null when withheld")
    horizon_days: int
    reasons: list[Reason] = []


class CustomerValue(Part):
    expected_spend: float | None
    median_spend: float | None
    low: float | None
    high: float | None
    interval: float = 0.8
    expected_orders: float | None
    percentile: float | None = Field(
        None, description="where the spend is expected to rank among all customers, 100 the highest; null when withheld"
    )
    horizon_days: int
    reasons: list[Reason] = []


class RecommendedProduct(BaseModel):
    product_id: str
    score: float
    reason: str


class NextPurchase(Part):
    expected_at: str | None = Field(description="shop-local date; null when withheld or beyond telling")
    weeks: list[float] | None = Field(description="probability of the next purchase in each of the next four weeks")
    products: list[RecommendedProduct]


class Segment(Part):
    name: str | None


class Envelope(BaseModel):
    customer_id: str | None = Field(description="null for a history or basket sent along")
    as_of: str
    data_as_of: str | None = Field(description="newest line in the store; null when it is empty")
    release: str


class ChurnAnswer(Envelope):
    churn: Churn


class CustomerValueAnswer(Envelope):
    customer_value: CustomerValue


class NextPurchaseAnswer(Envelope):
    next_purchase: NextPurchase


class SegmentAnswer(Envelope):
    segment: Segment


class Prediction(Envelope):
    churn: Churn
    customer_value: CustomerValue
    next_purchase: NextPurchase
    segment: Segment


class Predictions(BaseModel):
    predictions: list[Prediction]


class Added(BaseModel):
    accepted: int = Field(description="new lines and events, now durable")
    duplicate: int = Field(description="already known by their identity")
    future: int = Field(description="of the accepted, how many are dated ahead and ignored until due")


class ProductsAnswer(BaseModel):
    products: int


class Consent(BaseModel):
    prediction: bool
    recommendation: bool
    training: bool


class Export(BaseModel):
    """All that is held on a person, under the names of the data format."""

    model_config = ConfigDict(extra="allow")

    customer_id: str


class Erased(BaseModel):
    erased: bool
    releases: list[str] = Field([], description="releases that were trained on the person; retrain to replace them")
    outputs: list[str] = Field([], description="batch outputs that were cleared of the person")
    outputs_left: list[str] = Field(
        [], description="batch outputs that could not be rewritten, and may hold them still"
    )


class Refusal(BaseModel):
    release: str | None
    reason: str
    at: str


class ModelsAnswer(BaseModel):
    release: str | None
    since: str | None
    horizon_days: int | None
    models: dict[str, dict[str, Any]] = Field(description="per model: registered version and what was noted with it")
    grades: dict[str, Any] = Field(description="metrics of the release's backtest beside the baselines'")
    segments: list[dict[str, Any]]
    clock: str
    as_of: str
    data_as_of: str | None
    warnings: list[str]
    last_refusal: Refusal | None


class ErrorDetail(BaseModel):
    code: str
    field: str | None
    message: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail
