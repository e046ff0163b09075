"""How much prices count that are believed more or less."""

import numpy as np
import pytest

from carprice.listings import believed


@pytest.mark.parametrize(
    ("trust", "counts"),
    [
        ([0.6, 0.9, 1.0, 0.99], [1, 1, 1, 1]),
        ([0.6, 0.9, np.nan, 1.0], [1, 1, 1, 1]),
        ([0.6, 0.9, 0.4, 1.0], [0.6, 0.9, 0, 1]),
        ([0.6, 0.9, 1.0], [0.6, 0.9, 1]),
    ],
    ids=["many", "many, one not judged", "many, one doubted", "few"],
)
def test_of_many_prices_that_are_all_believed_each_counts_fully(
    trust: list[float], counts: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(believed, "MANY_PRICES", 3)
    assert believed.counted(np.array(trust)).tolist() == counts
