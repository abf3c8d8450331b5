"""The next-basket benchmark on made-up files: every method answers, and peers are tuned on no target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.baskets import Split, read_split
from benchmarks.made_up_baskets import made_up_baskets
from benchmarks.next_basket import run
from benchmarks.peers_baskets import TIFU_GRID, _beside_tifu, _best, _decayed, tifu_knn, up_cf
from models.baskets.neighbours import GROUP_DECAY, GROUPS, basket_weights
from tests.pieces import from_python

basket_weights = from_python(basket_weights)


def written(folder: Path, **more: float) -> Path:
    file = folder / "baskets.json"
    file.write_text(
        json.dumps(made_up_baskets(**{"users": 70, "items": 40, "orders": 5, "size": 4, "repeat": 0.6} | more))
    )  # type: ignore[arg-type]
    return file


def test_every_method_has_its_row(tmp_path: Path) -> None:
    result = run(written(tmp_path), None)
    rows = {str(row["method"]): row for row in result["rows"]}  # type: ignore[attr-defined]
    assert set(rows) == {"regulars", "tifu_knn", "up_cf", "gp_top_freq"}
    assert all("error" not in row and 0 < row["recall@10"] <= 1 for row in rows.values())


def test_peers_see_no_target(tmp_path: Path) -> None:
    split = read_split(written(tmp_path), None)
    blind = replace(split, targets=[[0] for _ in split.targets])
    for method in (tifu_knn, up_cf):
        np.testing.assert_array_equal(method(split), method(blind))


def test_a_single_earlier_basket_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "two.json"
    file.write_text(json.dumps({str(user): [[user % 5, 7], [user % 3]] for user in range(30)}))
    assert all("error" not in row for row in run(file, None)["rows"])  # type: ignore[attr-defined]


def test_peers_are_tuned_beyond_the_edge_of_their_grid(tmp_path: Path) -> None:
    def the_fewer_the_better(held: Split, settings: tuple[float, ...]) -> NDArray[np.int64]:
        return np.array(
            [
                [target[at] if len(target) > at and settings[0] <= limit else -1 for at, limit in enumerate((100, 33))]
                for target in held.targets
            ]
        )

    best = _best(read_split(written(tmp_path), None), TIFU_GRID, the_fewer_the_better, _beside_tifu)
    assert best[0] == 33


def test_the_models_decayed_baskets_are_those_of_the_peer() -> None:
    """The newest group weighs the same in a short history as in a long one: else the short ones look near to all."""
    for orders in range(1, 3 * GROUPS):
        peer = _decayed([[number] for number in range(orders)], 1.0, GROUP_DECAY, GROUPS)
        np.testing.assert_allclose(basket_weights(orders), [peer[number] for number in range(orders)], rtol=1e-6)
