import warnings

import pandas as pd
import pytest

from carprice import PriceRegressor, load_sample

FIELDS = ["make", "model", "variant", "year", "odometer", "fuelType", "Bluetooth"]
TREES = {"n_estimators": 20, "max_depth": 3, "learning_rate": 0.2}


@pytest.fixture(scope="session")
def cars() -> pd.DataFrame:
    """Rows that are all learned from, under the fields' own names, and ``price``. Read only."""
    sample = load_sample(700, seed=7).rename(columns={"listingPrice": "price"})
    return sample[[*FIELDS, "price"]].drop_duplicates(ignore_index=True)


@pytest.fixture
def quick() -> PriceRegressor:
    """A regressor that learns in a moment."""
    return PriceRegressor(folds=2, booster=TREES)


@pytest.fixture(scope="session")
def fitted(cars: pd.DataFrame) -> PriceRegressor:
    """A regressor that has learned from the cars. Read only."""
    with warnings.catch_warnings(action="error"):
        return PriceRegressor(folds=2, booster=TREES).fit(cars)
