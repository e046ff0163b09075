import numpy as np
import pytest

from carprice.model.tails import tail_weight

YOUNG, OLD = 2.0, 12.0
DRAWN = np.random.default_rng(3)


def weights(
    missed: list[np.ndarray], ages: list[float], cars: np.ndarray | None = None
) -> np.ndarray:
    age = np.repeat(ages, [*map(len, missed)])
    every = np.concatenate(missed)
    cars = np.ones(len(age)) if cars is None else cars
    return tail_weight(every, age, np.full(len(age), cars.sum()), cars, np.ones(len(age)))


def test_what_is_far_off_counts_for_less_and_all_for_one_on_average() -> None:
    missed = DRAWN.normal(scale=0.1, size=500)
    missed[:5] = 0.2, -0.2, 0.5, -1.0, 3.0
    found = weights([missed], [YOUNG])
    assert found.mean() == pytest.approx(1)
    assert found[0] == pytest.approx(found[1])
    assert np.all(np.diff(found[1:5]) < 0)
    assert found[4] < 0.05 * np.median(found)
    median = np.sort(np.abs(missed))[249] / 0.6745
    expected = 1 / (14 + (missed / median) ** 2)
    assert found == pytest.approx(expected / expected.mean())


def test_an_age_band_has_its_own_scale_if_it_has_cars_enough() -> None:
    young, old = DRAWN.normal(scale=0.05, size=400), DRAWN.normal(scale=0.3, size=60)
    old[0], young[0] = 0.3, 0.3
    found = weights([young, old], [YOUNG, OLD])
    assert found[400] > 2.5 * found[0]
    few = weights([young, old[:40]], [YOUNG, OLD])
    assert few[0] < few[400] < 1.3 * few[0]


def test_a_car_listed_more_than_once_counts_once_and_one_not_believed_not_at_all() -> None:
    missed = DRAWN.normal(scale=0.1, size=301)
    once = weights([missed], [YOUNG])
    again = np.concatenate([missed, np.repeat(missed[-30:], 4)])
    cars = np.ones(len(again))
    cars[-150:] = 0.2
    cars[271:301] = 0.2
    assert weights([again], [YOUNG], cars)[:301] == pytest.approx(once)
    junk = np.concatenate([missed, np.full(290, 9.0)])
    cars = np.repeat([1.0, 0.0], [301, 290])
    assert weights([junk], [YOUNG], cars)[:301] == pytest.approx(once)


def test_cars_of_a_rare_model_count_as_any_other_unless_they_are_doubted() -> None:
    missed, age, cars = DRAWN.normal(scale=0.1, size=300), np.full(300, YOUNG), np.ones(300)
    trust = np.ones(300)
    models = np.repeat([0, 1, 2], [290, 2, 8])
    missed[290:] = 1.5
    found = tail_weight(missed, age, np.bincount(models, cars)[models], cars, trust)
    assert found[290:292] == pytest.approx(found[290])
    assert found[290] > 5 * found[292]
    cars[292:] = 0.25  # two cars, each listed four times
    found = tail_weight(missed, age, np.bincount(models, cars)[models], cars, trust)
    assert found[292:] == pytest.approx(found[290])
    trust[290] = 0.9
    assert (
        tail_weight(missed, age, np.bincount(models, cars)[models], cars, trust)[290]
        < 0.2 * found[291]
    )
