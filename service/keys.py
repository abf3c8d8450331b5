"""API keys: made once, kept as digests, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from histories.errors import BadInput
from histories.storage.store import Store
from service.errors import Problem

SCOPES: Final = ("predict", "ingest", "privacy", "admin")  # admin may do everything
_REFRESH_SECONDS: Final = 2.0  # after this a revoked key is refused by every worker
_NO_DIGEST: Final = "0" * 64

TABLE: Final = sa.Table(
    "api_keys",
    sa.MetaData(),
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("scopes", sa.String(100), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),  # seconds since 1970
)


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    name: str
    scopes: frozenset[str]
    digest: str  # SHA-256 of the secret, which is random enough to need no salt
    created_at: int

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def add(store: Store, scopes: Iterable[str], name: str = "") -> str:
    """Make a key and return its secret: the only time it is seen. Raises BadInput on an unknown scope."""
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise BadInput(f"scopes must be some of {', '.join(SCOPES)}")
    identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    row = {
        "id": identity,
        "name": name[:100],
        "scopes": ",".join(wanted),
        "digest": _digest(secret),
        "created_at": int(time.time()),
    }
    with _engine(store).begin() as connection:
        connection.execute(TABLE.insert(), row)
    return f"rg_{identity}_{secret}"


def every(store: Store) -> list[Key]:
    return _read(_engine(store))


def _read(engine: sa.Engine) -> list[Key]:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(TABLE).order_by(TABLE.c.created_at)).mappings().all()
    return [Key(**{**row, "scopes": frozenset(row["scopes"].split(","))}) for row in rows]


def revoke(store: Store, identity: str) -> bool:
    """Whether there was such a key."""
    with _engine(store).begin() as connection:
        return connection.execute(TABLE.delete().where(TABLE.c.id == identity)).rowcount > 0


class KeyRing:
    """The keys as one worker knows them, at most two seconds old."""

    def __init__(self, store: Store, *, loopback: bool) -> None:
        """`loopback`: the service can be reached from this host alone, so that no keys at all means no check."""
        self._engine = _engine(store)
        self._loopback = loopback
        self._keys: dict[str, Key] | None = None
        self._read_at = -_REFRESH_SECONDS

    def check(self, authorization: str | None, scope: str) -> str:
        """The id of the key; raises Problem 401 without a valid key, 403 when it lacks the scope."""
        keys = self._known(_REFRESH_SECONDS)
        if self._loopback and not keys:
            return "open"
        key = self._key_of(authorization or "", keys)
        if key is None:
            raise Problem(401, "a valid key is needed: Authorization: Bearer KEY")
        if not key.allows(scope):
            raise Problem(403, f"this key lacks the scope {scope}")
        return key.id

    def _key_of(self, authorization: str, keys: dict[str, Key]) -> Key | None:
        scheme, _, token = authorization.partition(" ")
        prefix, _, rest = token.strip().partition("_")
        identity, _, secret = rest.partition("_")
        if scheme.lower() != "bearer" or prefix != "rg":
            return None
        if identity not in keys:
            keys = self._known(0.0)  # it may have been made a moment ago
        key = keys.get(identity)
        same = hmac.compare_digest(key.digest if key else _NO_DIGEST, _digest(secret))
        return key if same else None

    def _known(self, older_than: float) -> dict[str, Key]:
        """Read again when older than so many seconds; while the store cannot be read, those known last still count."""
        now = time.monotonic()
        if self._keys is None or now - self._read_at >= older_than:
            self._read_at = now
            try:
                self._keys = {key.id: key for key in _read(self._engine.execution_options(quick=True))}
            except sa.exc.SQLAlchemyError:
                if self._keys is None:
                    raise
        return self._keys


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _engine(store: Store) -> sa.Engine:
    TABLE.metadata.create_all(store.engine, checkfirst=True)
    return store.engine
