"""Cut-offs and label windows of the training frame."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from features.attributes import AttributeEncoder
from histories.clock import end_of_day, local_day
from models.frame import training_frame
from tests.shops import toy_history

WEEKLY = [
    {"customer_id": who, "occurred_at": f"{day}T10:00"}
    for who in ("ann", "bob", "cem")
    for day in np.arange("2023-01-02", "2024-01-20", 7, dtype="datetime64[D]")
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York"])
def test_every_label_window_is_of_whole_days_inside_the_data(zone: str) -> None:
    history = toy_history(WEEKLY, zone=zone)
    as_of = end_of_day(date(2024, 1, 20), zone)  # the clocks went back in every label window of the autumn
    frame = training_frame(history, as_of, 90, AttributeEncoder.fit(history))
    for cut in np.unique(frame.as_of[frame.labelled]):
        assert local_day(int(cut), zone) + frame.window_days <= local_day(as_of, zone)
        assert local_day(int(cut) + 1, zone) == local_day(int(cut), zone) + 1  # the last microsecond of its day
