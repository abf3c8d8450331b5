"""Settings of one shop: environment variables REGULARS_*, then regulars.toml, then these defaults."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """Read once at the edge (command line, service start-up) and passed down; nothing else reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix="REGULARS_", toml_file="regulars.toml", frozen=True, extra="forbid", populate_by_name=True
    )

    store: str = Field("sqlite:///data/regulars.db", description="SQLAlchemy URL of the history store")
    tracking_uri: str = Field(
        "sqlite:///mlruns/mlflow.db", validation_alias="MLFLOW_TRACKING_URI", description="MLflow's database or server"
    )
    spark_master: str = Field(
        "", validation_alias="SPARK_MASTER", description="of --engine spark; else as Spark is configured, or local[*]"
    )
    registry_poll_seconds: float = Field(3.0, gt=0, description="between two looks of a service at the registry")
    deadline_ms: float = Field(
        100.0, gt=0, description="of a prediction, from its arrival; what would take longer is a fallback"
    )
    answer_budget_ms: float = Field(20.0, gt=0, description="a release that takes longer for a customer is not served")
    queue_limit: int = Field(32, ge=1, description="requests that may wait in one worker; more are answered 503")
    rate_limit: float | None = Field(
        None, gt=0, description="requests per second of one key and worker; no limit if unset"
    )
    access_log: bool = Field(False, description="a line in the service's log for every request")
    traces: bool = Field(False, description="OpenTelemetry traces; needs regulars[traces]")
    timezone: str = Field("UTC", description="IANA zone in which the shop's days begin")
    currency: str = Field("", description="the shop's currency; lines in others need a rate")
    rates: dict[str, float] = Field(default_factory=dict, description="shop currency per unit of another currency")
    value: Literal["gross", "net"] = Field("gross", description="net: returns undo spend")
    horizon_days: int = Field(90, ge=1, le=730, description="days ahead that predictions speak of")
    clock: str = Field("now", description="now, data (the newest imported line) or a date")
    exclude_customers: tuple[str, ...] = Field(
        (), description="ids or glob patterns of test, staff or wholesale accounts"
    )
    consent: bool = Field(True, description="what a customer who never said anything is taken to allow")
    allowed_attributes: tuple[str, ...] = Field((), description="attributes the leakage gate lets pass")
    erasure_key: SecretStr | None = Field(None, description="key of the hashes that stand for persons")
    attributes_key: SecretStr | None = Field(
        None, description="32 random bytes in base64: customers' attributes are then stored encrypted"
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name!r} is no IANA time zone; write it as in Europe/London") from None
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
