"""Compared models as things that can be fitted: scikit-learn pipelines, and the package's own."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from carprice.arrays import Floats
from carprice.evaluation.measurement import naive_prices
from carprice.experiments.candidates import ComparedModel
from carprice.listings.features import NUMBERS, TEXTS, Features
from carprice.listings.market import Market
from carprice.schema import EQUIPMENT_SEPARATOR, PRICE
from carprice.settings import TrainSettings
from carprice.threads import thread_count

REFERENCE_TEXTS: Final = (
    "make",
    "model",
    "model_variant",
    "transmission",
    "body",
    "fuel",
    "color",
)
REFERENCE_NUMBERS: Final = ("age", "ownership", "odometer", "fitness_age")
"""The columns of the reference system's pipeline, as the package parses them."""
_FEWEST_EQUIPPED: Final = 20
_FLAG: Final = "equipment_"
_UNFOLDED: Final = 2

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
) -> Predict:
    """Fit a model on parsed listings; return the function that prices others."""
    if model.algorithm == "carprice":
        return _fit_carprice(features, log_price, market, train)
    if model.algorithm == "hedonic":
        return _fit_hedonic(features, log_price, market, train)
    if model.algorithm == "model-median":
        return _fit_medians(features, log_price)
    equipment = common_equipment(features)
    frame, price = frame_of(features, equipment), np.exp(log_price)
    fitted = pipeline(model, frame, train.seed, quick=quick).fit(frame, price)
    lowest = float(price.min())  # a line on the raw price would go below zero

    def predict(others: Features) -> Floats:
        prices = np.asarray(fitted.predict(frame_of(others, equipment)), dtype=np.float64)
        return np.maximum(prices.ravel(), lowest)

    return predict


def _fit_carprice(
    features: Features, log_price: Floats, market: Market, train: TrainSettings
) -> Predict:
    from carprice.model import PriceModel

    model = PriceModel.fit(features, log_price, market, train)

    def predict(others: Features) -> Floats:
        return model.predict_features(others).price

    return predict


def _fit_hedonic(
    features: Features, log_price: Floats, market: Market, train: TrainSettings
) -> Predict:
    from carprice.model.car import CarReader, TypeReader
    from carprice.model.defaults import Defaults
    from carprice.model.hedonic_fit import fit_hedonic
    from carprice.model.worth import RidgeLookups

    defaults = Defaults.fit(features)
    complete = defaults.complete(features)
    folds = np.arange(len(log_price), dtype=np.intp) % _UNFOLDED
    scales = train.hedonic.model_dump()
    hedonic, _ = fit_hedonic(complete, log_price, folds, scales, market.km_per_unit)
    types, cars, ridge = TypeReader(defaults), CarReader(market, defaults), RidgeLookups(hedonic)

    def predict(others: Features) -> Floats:
        read = cars.read_features(others, types)
        told = [ridge.log_price(ridge.of_type(car_type), car) for car_type, car in read]
        return np.exp(np.array(told, dtype=np.float64))

    return predict


def _fit_medians(features: Features, log_price: Floats) -> Predict:
    def names(some: Features) -> pd.DataFrame:
        return pd.DataFrame({name: some.texts[name] for name in ("make", "model")})

    learned = names(features).assign(**{PRICE: np.exp(log_price)})
    return lambda others: naive_prices(learned, names(others))


def common_equipment(features: Features) -> list[str]:
    """Return the equipment that enough listings have to be a column."""
    counts = pd.Series(features.equipment).str.split(EQUIPMENT_SEPARATOR).explode().value_counts()
    return sorted(name for name, rows in counts.items() if name and rows >= _FEWEST_EQUIPPED)


def frame_of(features: Features, equipment: Sequence[str]) -> pd.DataFrame:
    """Return parsed listings as a table: categories as texts, numbers, equipment as 0 and 1."""
    owned = [frozenset(names.split(EQUIPMENT_SEPARATOR)) for names in features.equipment]
    flags = {
        f"{_FLAG}{place}": np.array([name in names for names in owned], dtype=np.float64)
        for place, name in enumerate(equipment)
    }
    texts = {name: np.array(features.texts[name], dtype=object) for name in TEXTS}
    return pd.DataFrame({**texts, **features.numbers, **flags})


class AsCategories(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts → pandas categories; a value that no training row has is missing."""

    def fit(self, frame: pd.DataFrame, _: Any = None) -> Self:
        """Learn the values of each column."""
        self.known_ = {name: sorted(set(frame[name])) for name in frame}
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns as categories."""
        columns = {
            name: pd.Categorical.from_codes(
                pd.Categorical(frame[name].where(frame[name].isin(known)), categories=known).codes,
                categories=range(len(known)),
            )
            for name, known in self.known_.items()
        }
        return pd.DataFrame(columns, index=frame.index)

    def get_feature_names_out(self, _: Any = None) -> Any:
        """Return the names of the columns."""
        return np.array([*self.known_], dtype=object)


def pipeline(model: ComparedModel, frame: pd.DataFrame, seed: int, *, quick: bool) -> Any:
    """Return the unfitted pipeline of a model for a table of :func:`frame_of`."""
    texts: Sequence[str] = TEXTS
    numbers: Sequence[str] = NUMBERS
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
    if model.encoding != "one-hot":
        columns.set_output(transform="pandas")
    regressor = _REGRESSORS[model.algorithm](model.parameters(quick=quick), seed)
    whole = make_pipeline(columns, regressor)
    if model.target == "raw":
        return whole
    return TransformedTargetRegressor(whole, func=np.log, inverse_func=np.exp, check_inverse=False)


def _encoder(model: ComparedModel, seed: int) -> Any:
    if model.encoding == "one-hot":
        return OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    if model.encoding == "target":
        return TargetEncoder(target_type="continuous", random_state=seed)
    if model.encoding == "native":
        return "passthrough" if model.algorithm == "catboost" else AsCategories()
    if model.encoding == "ordinal":
        return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return "drop"


def _imputer(model: ComparedModel) -> Any:
    if model.imputation not in ("mean", "median"):
        return "passthrough"
    imputer = SimpleImputer(strategy=model.imputation)
    if model.algorithm in ("ridge", "linear"):
        return make_pipeline(imputer, StandardScaler())
    return imputer


def _forest(parameters: dict[str, Any], seed: int) -> Any:
    return RandomForestRegressor(n_jobs=thread_count(), random_state=seed, **parameters)


def _xgboost(parameters: dict[str, Any], seed: int) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(
        enable_categorical=True, n_jobs=thread_count(), random_state=seed, **parameters
    )


def _lightgbm(parameters: dict[str, Any], seed: int) -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_jobs=thread_count(), verbosity=-1, random_state=seed, **parameters)


class _CatBoost(BaseEstimator):  # type: ignore[misc]
    """CatBoost that is told which columns are texts; by itself it refuses texts."""

    def __init__(self, parameters: dict[str, Any], seed: int) -> None:
        self.parameters = parameters
        self.seed = seed

    def fit(self, frame: pd.DataFrame, target: Floats) -> Self:
        from catboost import CatBoostRegressor

        texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
        self.model_ = CatBoostRegressor(
            cat_features=texts,
            random_seed=self.seed,
            thread_count=thread_count(),
            allow_writing_files=False,
            verbose=False,
            **self.parameters,
        ).fit(frame, target)
        return self

    def predict(self, frame: pd.DataFrame) -> Floats:
        return np.asarray(self.model_.predict(frame), dtype=np.float64)


_REGRESSORS: Final[dict[str, Callable[[dict[str, Any], int], Any]]] = {
    "median": lambda parameters, _: DummyRegressor(strategy="median", **parameters),
    "linear": lambda parameters, _: LinearRegression(**parameters),
    "ridge": lambda parameters, _: Ridge(**parameters),
    "forest": _forest,
    "reference": _xgboost,
    "xgboost-default": _xgboost,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _CatBoost,
}
