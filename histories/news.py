"""Of whom something was learned lately: what a job that goes on from its last run has to look at."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories.tables import CUSTOMERS, EVENTS, LINES


def learned_since(connection: Connection, instant: int) -> list[str]:
    """Ids, sorted, of customers of whom a line or an event was recorded at or after an instant (us).

    The database looks at recorded_at of every row, and only ids leave it. An index would spare it that, but has to be
    kept by every import: dearer than what it gives one job a night.
    """
    news = [
        sa.exists().where(table.c.customer == CUSTOMERS.c.key, table.c.recorded_at >= instant)
        for table in (LINES, EVENTS)
    ]
    which = sa.select(CUSTOMERS.c.customer_id).where(sa.or_(*news)).order_by(CUSTOMERS.c.customer_id)
    return list(connection.execute(which).scalars())
