"""Attributes of customers as columns."""

from __future__ import annotations

import numpy as np

from features.attributes import AttributeEncoder
from tests.shops import toy_history

CITIES = ["Ulm"] * 6 + ["Bonn"] * 5 + ["Kiel", None]


def shop(**attributes):
    size = len(next(iter(attributes.values())))
    return toy_history([], customers=[f"c{i:02d}" for i in range(size)], attributes=attributes)


def test_categories_are_ranked_by_frequency_and_rare_ones_unknown():
    history = shop(city=np.array(CITIES, dtype=object), age=np.arange(13.0))
    encoder = AttributeEncoder.fit(history)
    assert encoder.names == ("attr_age", "attr_city")
    encoded = encoder.transform(history)
    assert encoded.dtype == np.float32
    assert encoded[:, 0].tolist() == list(range(13))
    np.testing.assert_array_equal(encoded[:, 1], [0] * 6 + [1] * 5 + [np.nan] * 2)


def test_json_keeps_the_encoding():
    history = shop(city=np.array(CITIES, dtype=object), age=np.arange(13.0))
    encoder = AttributeEncoder.fit(history)
    assert AttributeEncoder.from_json(encoder.to_json()) == encoder


def test_what_training_did_not_know_is_nan():
    encoder = AttributeEncoder.fit(shop(city=np.array(CITIES, dtype=object), age=np.arange(13.0)))
    other = shop(age=np.array(["old", "young"], dtype=object))
    assert np.isnan(encoder.transform(other)).all()
    infinite = shop(age=np.array([np.inf, 3.0]), city=np.array(["Ulm", "Rome"], dtype=object))
    np.testing.assert_array_equal(encoder.transform(infinite), [[np.nan, 0], [3, np.nan]])


def test_no_attributes_is_no_columns():
    encoder = AttributeEncoder.fit(toy_history([], customers=["a", "b"]))
    assert encoder.names == ()
    assert encoder.transform(toy_history([], customers=["a", "b"])).shape == (2, 0)
