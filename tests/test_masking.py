"""Who is erased is gone from what a served release holds of its training customers, at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import SecretStr

from histories.storage.erasure import note_training
from histories.storage.tables import OUTPUTS
from models.baskets.neighbours import nearest, without
from models.next_purchase import NextPurchase
from tests.conftest import Trained
from tests.pieces import from_python
from tests.test_next_purchase import AS_OF, made_up
from tests.web import own_copy, shelf_of, web_of

nearest = from_python(nearest)


def test_a_masked_customer_is_nobodys_neighbour_and_the_others_stay() -> None:
    model = NextPurchase.fit(made_up(), AS_OF, threads=1)
    pool, row = model.evidence.pool, model.pool_row
    assert row is not None
    assert (row >= 0).all()
    gone = row[[3, 50]]
    model.forget(gone)
    masked = model.evidence.pool
    assert np.diff(masked.start)[gone].tolist() == [0, 0]
    others = np.setdiff1d(np.arange(len(pool.norm)), gone)
    assert np.diff(masked.start)[others].tolist() == np.diff(pool.start)[others].tolist()
    assert len(masked.item) == len(masked.owner) == int(masked.by_item[-1]) < len(pool.item)
    begin, end = pool.start[gone[0]], pool.start[gone[0] + 1]
    own, weights = pool.item[begin:end], pool.weight[begin:end]
    small = without(pool._replace(norm=pool.norm), gone)
    assert gone[0] in nearest(own, weights, pool)
    assert small.owner.tolist() == masked.owner.tolist()
    assert not np.isin(masked.owner, gone).any()


def test_an_erasure_masks_the_served_release_and_names_it(trained: Trained, tmp_path: Path) -> None:
    settings = own_copy(trained, tmp_path).model_copy(update={"erasure_key": SecretStr("key")})
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        release, store = web.backend.releases.serving(), web.backend.store
        customer, other = store.customer_ids()[:2]
        with store.writing() as connection:  # of other tests on the shop that this one is a copy of
            connection.execute(OUTPUTS.delete())
        note_training(store, release.id, [customer], np.array([7], dtype=np.int32))
        sizes = np.diff(release.next_purchase.evidence.pool.start)
        assert sizes[7] > 0
        answer = web("DELETE", f"/v1/customers/{customer}")
        assert answer.json() == {"erased": True, "releases": [release.id], "outputs": [], "outputs_left": []}
        assert web.post("/v1/predict", {"customer_id": other}).status_code == 200
        sizes[7] = 0
        assert np.diff(release.next_purchase.evidence.pool.start).tolist() == sizes.tolist()


def test_a_training_leaves_word_of_whom_it_saw(trained: Trained, tmp_path: Path) -> None:
    settings = own_copy(trained, tmp_path)
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web, web.backend.store.snapshot() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM trainings").scalar() == 0  # no key, nothing kept
