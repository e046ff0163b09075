import numpy as np
import pytest

from carprice.errors import InputError
from carprice.experiments.folds import shuffled_folds


def test_every_row_is_priced_once_and_never_learned_from_in_its_fold() -> None:
    folds = shuffled_folds(103, 5, seed=3)
    assert sorted(np.concatenate([priced for _, priced in folds])) == list(range(103))
    for learned, priced in folds:
        assert not set(learned) & set(priced)
        assert len(learned) + len(priced) == 103


def test_the_same_seed_gives_the_same_folds_and_another_gives_others() -> None:
    one, same, other = (shuffled_folds(60, 3, seed=seed) for seed in (1, 1, 2))
    assert all((a[1] == b[1]).all() for a, b in zip(one, same, strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(one, other, strict=True))


def test_too_few_rows_for_so_many_folds_is_named_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"45 training listings .* 5 folds of 10 .* --folds 4"):
        shuffled_folds(45, 5, seed=0)
