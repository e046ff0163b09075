"""Fit the compared models on parsed listings: scikit-learn's and others', and the package's own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from carprice.arrays import Codes, Floats
from carprice.evaluation.measurement import naive_prices
from carprice.experiments.candidates import MOST_TREES, PATIENCE, ComparedModel
from carprice.listings.features import NUMBERS, TEXTS, Features
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.model.hedonic_fit import fit_hedonic
from carprice.model.trust import judge_prices
from carprice.model.worth import RidgeLookups
from carprice.schema import EQUIPMENT_SEPARATOR, PRICE, own_numbers, own_texts
from carprice.settings import TrainSettings
from carprice.threads import thread_count

REFERENCE_TEXTS: Final = (
    *("make", "model", "model_variant", "transmission", "body", "fuel", "color"),
)
REFERENCE_NUMBERS: Final = ("age", "ownership", "odometer", "fitness_age")
"""The columns of the reference system's pipeline, as the package parses them."""
_FEWEST_EQUIPPED: Final = 20
_COLON: Final = "__"
_FLAG: Final = "equipment_"
_UNFOLDED: Final = 2
_FIFTHS: Final = 5

Predict = Callable[[Features], Floats]
"""Parsed listings → prices."""


def fit(
    model: ComparedModel,
    features: Features,
    log_price: Floats,
    market: Market,
    train: TrainSettings,
    *,
    quick: bool,
    trust: Floats | None = None,
) -> Predict:
    """Fit a model on parsed listings; return the function that prices others.

    Parameters
    ----------
    trust : how far the package's own model is to believe each price; if None, it finds that.
    """
    if model.algorithm == "carprice":
        own = PriceModel.fit(features, log_price, market, train, trust=trust)
        return lambda others: own.predict_features(others).price
    if model.algorithm == "hedonic":
        return _fit_hedonic(features, log_price, market, train, trust)
    if model.algorithm == "model-median":
        return _fit_medians(features, log_price)
    equipment = _common_equipment(features)
    frame, price = _frame_of(features, equipment), np.exp(log_price)
    target = price if model.target == "raw" else np.log(price)
    columns = _columns(model, frame, train.seed)
    table = columns.fit_transform(frame, target)
    if model.tuned:
        regressor = _tuned(model, table, target, features.car_codes(), train.seed, quick)
    else:
        regressor = _regressor(model, table, target, train.seed, quick)
    lowest = float(price.min())  # a line on the raw price would go below zero

    def predict(others: Features) -> Floats:
        told = np.ravel(regressor.predict(columns.transform(_frame_of(others, equipment))))
        prices = told if model.target == "raw" else np.exp(told)
        return np.maximum(prices, lowest, dtype=np.float64)

    return predict


def _fit_hedonic(
    features: Features,
    log_price: Floats,
    market: Market,
    train: TrainSettings,
    trust: Floats | None,
) -> Predict:
    trust = judge_prices(features, log_price).trust if trust is None else trust
    cars = CarReader(Defaults.fit(features))
    complete = cars.complete(features)
    folds = np.arange(len(log_price), dtype=np.intp) % _UNFOLDED
    fixed = train.hedonic.scales
    hedonic, _ = fit_hedonic(complete, log_price, folds, fixed, market.km_per_unit, trust)
    ridge = RidgeLookups(hedonic)

    def predict(others: Features) -> Floats:
        read = cars.read(others)
        told = [ridge.log_price(ridge.of_type(car_type), car) for car_type, car in read]
        return np.exp(np.array(told, dtype=np.float64))

    return predict


def _fit_medians(features: Features, log_price: Floats) -> Predict:
    def names(some: Features) -> pd.DataFrame:
        return pd.DataFrame({name: some.texts[name] for name in ("make", "model")})

    learned = names(features).assign(**{PRICE: np.exp(log_price)})
    return lambda others: naive_prices(learned, names(others))


def _common_equipment(features: Features) -> Sequence[str]:
    """Return the equipment that enough listings have to be a column."""
    counts = pd.Series(features.equipment).str.split(EQUIPMENT_SEPARATOR).explode().value_counts()
    return sorted(name for name, rows in counts.items() if name and rows >= _FEWEST_EQUIPPED)


def _frame_of(features: Features, equipment: Sequence[str]) -> pd.DataFrame:
    """Return parsed listings as a table: categories as texts, numbers, equipment as 0 and 1."""
    texts = {
        _plain(name): np.array(values, dtype=object) for name, values in features.texts.items()
    }
    numbers = {_plain(name): values for name, values in features.numbers.items()}
    owned = [frozenset(names.split(EQUIPMENT_SEPARATOR)) for names in features.equipment]
    flags = {
        f"{_FLAG}{place}": np.array([name in names for names in owned], dtype=np.float64)
        for place, name in enumerate(equipment)
    }
    return pd.DataFrame({**texts, **numbers, **flags})


def _plain(name: str) -> str:
    """Return the column of a feature: LightGBM takes no colon, which own columns have."""
    return name.replace(":", _COLON)


def _own(table: pd.DataFrame, of_kind: Callable[[Iterable[str]], Sequence[str]]) -> list[str]:
    """Return the columns of a market's own columns of one kind."""
    return [*map(_plain, of_kind(name.replace(_COLON, ":") for name in table))]


def _columns(model: ComparedModel, frame: pd.DataFrame, seed: int) -> ColumnTransformer:
    """Return the transformer that makes a model's input of a table of :func:`_frame_of`."""
    texts: Sequence[str] = (*TEXTS, *_own(frame, own_texts))
    numbers: Sequence[str] = (*NUMBERS, *_own(frame, own_numbers))
    flags = [name for name in frame if name.startswith(_FLAG)]
    if model.algorithm == "reference":
        texts, numbers, flags = REFERENCE_TEXTS, REFERENCE_NUMBERS, []
    columns = ColumnTransformer(
        [
            ("texts", _encoder(model, seed), list(texts)),
            ("numbers", _imputer(model), [n for n in numbers if not frame[n].isna().all()]),
            ("flags", "passthrough", flags),
        ],
        verbose_feature_names_out=False,
    )
    return columns if model.encoding == "one-hot" else columns.set_output(transform="pandas")


def _encoder(model: ComparedModel, seed: int) -> Any:
    if model.encoding == "one-hot":
        return OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    if model.encoding == "target":
        return TargetEncoder(target_type="continuous", random_state=seed)
    if model.encoding == "native" and model.algorithm == "catboost":
        return "passthrough"
    if model.encoding in ("native", "ordinal"):
        unknown = np.nan if model.encoding == "native" else -1
        return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown)
    return "drop"


def _imputer(model: ComparedModel) -> Any:
    if model.imputation not in ("mean", "median"):
        return "passthrough"
    imputer = SimpleImputer(strategy=model.imputation)
    if model.algorithm in ("ridge", "linear"):
        return make_pipeline(imputer, StandardScaler())
    return imputer


def _regressor(model: ComparedModel, table: Any, target: Floats, seed: int, quick: bool) -> Any:
    """Return a fitted regressor of a model's own parameters."""
    parameters = model.parameters(quick=quick)
    if model.algorithm == "median":
        return DummyRegressor(strategy="median").fit(table, target)
    if model.algorithm in ("linear", "ridge"):
        line = LinearRegression if model.algorithm == "linear" else Ridge
        return line(**parameters).fit(table, target)
    if model.algorithm == "forest":
        forest = RandomForestRegressor(n_jobs=thread_count(), random_state=seed, **parameters)
        return forest.fit(table, target)
    return _boosted(model, parameters, table, target, seed)


def _tuned(
    model: ComparedModel, table: Any, target: Floats, cars: Codes, seed: int, quick: bool
) -> Any:
    """Return a regressor whose parameters and number of trees did best on a fifth of the cars."""
    held = np.random.default_rng(seed).permutation(cars.max() + 1)[cars] % _FIFTHS == 0
    trees = "iterations" if model.algorithm == "catboost" else "n_estimators"
    found = []
    for parameters in model.choices(quick=quick):
        most = parameters[trees] if quick else MOST_TREES
        watched = table[held], target[held]
        tried = _boosted(
            model, {**parameters, trees: most}, table[~held], target[~held], seed, watched
        )
        error = float(
            np.mean(np.abs(np.expm1(np.ravel(tried.predict(table[held])) - target[held])))
        )
        best = getattr(tried, "best_iteration_", None)  # XGBoost's own name lacks the underscore
        best = tried.best_iteration + 1 if best is None else best + (trees == "iterations")
        found.append((error, {**parameters, trees: max(int(best), 1)}))
    _, chosen = min(found, key=lambda one: one[0])
    return _boosted(model, chosen, table, target, seed)


def _boosted(
    model: ComparedModel,
    parameters: Mapping[str, Any],
    table: Any,
    target: Floats,
    seed: int,
    watched: tuple[Any, Floats] | None = None,
) -> Any:
    """Return fitted boosted trees; those that take categories as they are know which they are.

    Parameters
    ----------
    watched : table and target whose error ends the fit; without, it has all trees.
    """
    is_native = model.encoding == "native"
    categories = [*TEXTS, *_own(table, own_texts)] if is_native else []
    options: dict[str, Any] = {} if watched is None else {"eval_set": [watched]}
    if model.algorithm == "catboost":
        from catboost import CatBoostRegressor

        quiet = {"allow_writing_files": False, "thread_count": thread_count(), "verbose": False}
        if watched is not None:
            options["early_stopping_rounds"] = PATIENCE
        regressor = CatBoostRegressor(random_seed=seed, **quiet, **parameters)
        return regressor.fit(table, target, cat_features=categories, **options)
    parameters = {**parameters, "n_jobs": thread_count(), "random_state": seed}
    if model.algorithm == "lightgbm":
        from lightgbm import LGBMRegressor, early_stopping

        if watched is not None:
            options["callbacks"] = [early_stopping(PATIENCE, verbose=False)]
        regressor = LGBMRegressor(verbosity=-1, **parameters)
        return regressor.fit(table, target, categorical_feature=categories or "auto", **options)
    from xgboost import XGBRegressor

    if categories:
        kinds = ["c" if name in categories else "q" for name in table]
        parameters |= {"enable_categorical": True, "feature_types": kinds}
    if watched is not None:
        parameters["early_stopping_rounds"] = PATIENCE
        options["verbose"] = False
    return XGBRegressor(**parameters).fit(table, target, **options)
