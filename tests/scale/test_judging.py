"""Prices that are judged on a cluster are believed as far as on one machine."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.components.workspace import read_json
from carprice.evaluation import junk
from carprice.listings.cars import CAR
from carprice.listings.cells import with_categories
from carprice.listings.market import Market
from carprice.model import trust
from carprice.threads import in_threads


@pytest.mark.parametrize("most", [300, 100_000], ids=["some teach", "all teach"])
@pytest.mark.parametrize("repeated", [False, True])
def test_prices_are_judged_alike_at_once(
    most: int, repeated: bool, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "MOST_ROWS", most)
    monkeypatch.setattr(junk, "MOST_ROWS", most)
    workspace = finished[0]
    train, test = (
        pd.read_parquet(path) for path in (workspace.train_listings, workspace.test_listings)
    )
    train.loc[train.index[::40], "price"] = 1.0
    if repeated:
        train = train.assign(**{CAR: np.arange(len(train)) // 2})
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    here = junk.judge_listings(train, test, market)
    there = junk.judge_listings(train, test, market, in_threads)
    assert (here[0].trust < 0.5).sum() >= len(train) // 40
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.trust, other.trust)
        np.testing.assert_array_equal(one.expected, other.expected)


def test_a_task_is_sent_the_texts_of_its_own_rows(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "MOST_ROWS", 100)
    monkeypatch.setattr(junk, "MOST_ROWS", 100)
    workspace, sizes = finished[0], []
    train = pd.read_parquet(workspace.train_listings)
    variants = [f"{row:0400}" for row in range(len(train))]
    train = with_categories(train.assign(variant=variants))
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))

    def counting(task: Any, items: Any, *shared: Any) -> Iterator[Any]:
        assert iter(items) is items  # which makes each as it is taken
        for item in items:
            sizes.append(len(pickle.dumps(item)))
            yield task(item, *shared)

    junk.judge_listings(train, train.iloc[:100], market, counting)
    assert len(sizes) == 1 + -(-len(train) // 100)
    assert max(sizes) < 2 * 100 * 400
