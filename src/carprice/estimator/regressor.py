"""PriceRegressor: the model as a scikit-learn estimator that reads DataFrames of listings."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from carprice.arrays import Floats
from carprice.errors import InputError
from carprice.estimator.tables import (
    SOURCE,
    ListingsError,
    checked_frame,
    checked_prices,
    errors_for_python,
    for_python,
    read_fields,
    warn,
    warn_of_ignored,
    warn_of_units,
    warn_of_unreadable,
)
from carprice.evaluation.junk import Junk
from carprice.evaluation.pricing import answers, problems_of, with_defaults
from carprice.listings.cars import car_digests
from carprice.listings.column_map import MappedChunk
from carprice.listings.frames import as_columns, parse_listings
from carprice.listings.market import Market
from carprice.listings.plausibility import refuse_implausible
from carprice.listings.reading import (
    Source,
    clean_source,
    refuse_too_few,
    row_digests,
    rules_of,
)
from carprice.listings.snapshot import listings_digest
from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model.blocks import factor_names
from carprice.model.training import train_model
from carprice.model.trust import judge_prices
from carprice.schema import (
    CAR_ID,
    PRICE,
    PRICE_ALIASES,
    PRICE_NAMES,
    REQUIRED,
    alias,
)
from carprice.settings import IngestSettings, TrainSettings, describe

Model = TypeVar("Model", bound=BaseModel)


class PriceRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Learn the prices of used cars from a DataFrame, and price others.

    Parameters
    ----------
    columns : the column behind each field, by the rules of ``ingest.columns`` in params.yaml, such
        as ``{"make": "brand", "odometer": {"from": "driven", "number": True}}``. Not needed
        where the columns have the fields' own names.
    extra : the market's own columns, which are no field, as ``ingest.extra``, such as
        ``{"accident": "flag", "doors": "number", "steering": "category"}``.
    currency, distance : units of the prices and of the odometers (``km`` or ``miles``).
    decimal : the sign before decimals in texts; None: found from each column.
    valuation_date : day that prices are for where a listing has no date; found in the data if None.
    price_range : rows with a price outside are not learned from; found in the data if None.
    max_unreadable : largest share of a column that may be unreadable.
    repeats : what is kept of a car that is listed more than once, as ``ingest.repeats``: its
        ``latest`` price, ``all`` its listings, or ``ignore`` that they are of one car.
    junk : what becomes of prices that are no car's, as ``ingest.junk``: ``discount``, they count as
        far as they are believed, or ``believe``, they count like all others.
    folds, patience, seed, hedonic, booster, deal, comparables : settings of the training, as in
        params.yaml.

    Attributes
    ----------
    model_ : the fitted :class:`carprice.model.PriceModel`; ``model_.metrics`` has its
        cross-validated errors.
    columns_ : each field that was learned from, and its columns in the DataFrame.
    ignored_columns_ : the columns that no field was read from.
    rejected_, repaired_ : rows left out and values made missing, by reason.
    n_features_in_, feature_names_in_ : the columns of the DataFrame but that of the price.

    Examples
    --------
    >>> import warnings
    >>> from carprice import PriceRegressor, load_sample
    >>> cars = load_sample(1000, seed=7)[["make", "model", "year", "odometer", "listingPrice"]]
    >>> regressor = PriceRegressor(folds=2, booster={"n_estimators": 20})
    >>> with warnings.catch_warnings(action="ignore"):
    ...     regressor.fit(cars).predict(cars[:3]).shape
    (3,)
    """

    def __init__(
        self,
        *,
        columns: Mapping[str, Any] | None = None,
        extra: Mapping[str, str] | None = None,
        currency: str = "INR",
        distance: Literal["km", "miles"] = "km",
        decimal: Literal[".", ","] | None = None,
        valuation_date: datetime.date | str | None = None,
        price_range: tuple[float, float] | None = None,
        max_unreadable: float = 0.05,
        repeats: Literal["latest", "all", "ignore"] = "latest",
        junk: Literal["discount", "believe"] = "discount",
        folds: int = 10,
        patience: int = 50,
        seed: int = 0,
        hedonic: Mapping[str, Any] | None = None,
        booster: Mapping[str, Any] | None = None,
        deal: Mapping[str, Any] | None = None,
        comparables: bool = True,
    ) -> None:
        self.columns = columns
        self.extra = extra
        self.currency = currency
        self.distance = distance
        self.decimal = decimal
        self.valuation_date = valuation_date
        self.price_range = price_range
        self.max_unreadable = max_unreadable
        self.repeats = repeats
        self.junk = junk
        self.folds = folds
        self.patience = patience
        self.seed = seed
        self.hedonic = hedonic
        self.booster = booster
        self.deal = deal
        self.comparables = comparables

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        return tags

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn from listings and their prices.

        Parameters
        ----------
        X : one row a listing.
        y : their prices in the currency. If None, the prices are a column of X: that which
            ``columns`` names for ``price``, or ``price`` or ``listingPrice``.

        Raises
        ------
        InputError
            If a column or a setting is missing or wrong, too few rows are left to learn from, or a
            column looks computed from the price.

        Warns
        -----
        CarpriceWarning
            If rows are left out, values cannot be read or columns are ignored.
        """
        table, settings = checked_frame(X), self._ingest_settings(with_price=y is None)
        train = _validated(
            TrainSettings,
            {
                "folds": self.folds,
                "patience": self.patience,
                "seed": self.seed,
                "hedonic": dict(self.hedonic or {}),
                "booster": dict(self.booster or {}),
                "deal": dict(self.deal or {}),
                "comparables": self.comparables,
            },
        )
        mapped = read_fields(table, settings, price_required=y is None)
        if lacking := [alias(field) for field in settings.own if field not in mapped.origin]:
            raise ListingsError(
                f"X has no column {lacking[0]!r}, which extra declares; name it in "
                f"columns={{{lacking[0]!r}: <its column>}}, or take it out of extra"
            )
        fields, raw = mapped.frame, table
        if y is not None:
            prices = checked_prices(y, len(table))
            fields, raw = fields.assign(**{PRICE: prices}), table.assign(**{f"{PRICE} (y)": prices})
        source = Source(
            fields,
            car_digests(fields),
            row_digests(raw),
            table[[]],
            mapped.unreadable,
            mapped.respaced,
            mapped.origin,
            defaulted=mapped.times_defaulted(),
        )
        with errors_for_python():
            cleaned = clean_source(source, settings)
            refuse_too_few(cleaned, settings, source)
            _warn_if_implausible(source, settings)
            listings = cleaned.frame
            market = Market(
                self.currency,
                self.distance,
                cleaned.valuation_date,
                listings_digest(listings),
                {field: sign for field, sign in mapped.decimals.items() if field != PRICE},
            )
            features = parse_listings(listings, market)
            log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
            judged = judge_prices(features, log_price)
            are_believed = settings.junk == "believe"
            self.model_ = train_model(
                features,
                log_price,
                market,
                train,
                {alias(field): ", ".join(names) for field, names in mapped.origin.items()},
                lambda _: None,
                settings.known(mapped.origin),
                np.ones(len(listings)) if are_believed else judged.trust,
            )
        priced = self._price_columns()
        self.feature_names_in_ = np.array([c for c in X if c not in priced], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.columns_ = {
            f: names for f, names in mapped.origin.items() if names and f not in (PRICE, CAR_ID)
        }
        self.ignored_columns_ = tuple(name for name in mapped.ignored if name not in priced)
        self.rejected_, self.repaired_ = map(
            dict, (cleaned.counts.rejected, cleaned.counts.repaired)
        )
        warn_of_units(table, mapped, settings, price_required=y is None)
        warn_of_ignored(self.ignored_columns_)
        for note in (*mapped.notes, *cleaned.doubts):
            warn(note)
        warn_of_unreadable(mapped, settings, "are taken as missing")
        if self.rejected_:
            told = ", ".join(f"{rows:,} {reason}" for reason, rows in self.rejected_.items())
            warn(f"{len(X) - len(listings):,} of {len(X):,} rows are not learned from: {told}")
        junk = Junk.find(listings, judged.trust, judged.expected)
        if junk.rows:
            told = "; ".join(junk.told(self.currency, self.distance))
            warn(f"{told}. {'They count like all others' if are_believed else 'They do not count'}")
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return the price of each listing, in the currency, rounded to 0.01.

        A listing that the service would refuse has no price: NaN, with a warning.

        Raises
        ------
        InputError
            If a column that is needed is missing.
        """
        prices: Floats = self.predict_interval(X)[PRICE_NAMES[0]].to_numpy()
        return prices

    def predict_interval(
        self, X: pd.DataFrame, confidence: float = DEFAULT_CONFIDENCE
    ) -> pd.DataFrame:
        """Return the price of each listing with its range, and why to trust it less.

        The confidence is the share of the cars whose price lies in the range, from 0.5 to 0.99. The
        columns are ``predictedPrice``, ``priceLow``, ``priceHigh``, ``warnings`` and ``problem``,
        which says why a listing has no price; the index is that of X.
        """
        mapped, problems = self._read(X)
        priced = answers(self.model_, mapped.frame, problems, confidence)
        return with_defaults(priced, mapped.defaulted).set_axis(X.index)

    def explain(
        self, X: pd.DataFrame, unit: Literal["currency", "factor"] = "currency"
    ) -> pd.DataFrame:
        """Return what makes up the price of each listing.

        The columns are ``start``, the price of the market's typical car, and one for each reason:
        amounts of ``currency`` that sum to the price, or each a ``factor``, which multiply to it.
        """
        if unit not in ("currency", "factor"):
            raise ListingsError(f"unit is {unit!r}; it must be 'currency' or 'factor'")
        mapped, problems = self._read(X)
        listings, good = mapped.frame, problems == ""
        factors = factor_names(bool(self.model_.own))
        if self.model_.correction is not None:
            factors = (*factors, self.model_.correction.reason)
        told = pd.DataFrame(np.nan, index=listings.index, columns=["start", *factors])
        if good.any():
            none = 0.0 if unit == "currency" else 1.0
            rows = []
            for one in self.model_.explain(as_columns(listings[good])):
                parts = {r.name: r.amount if unit == "currency" else r.factor for r in one.reasons}
                rows.append([one.start, *(parts.get(name, none) for name in factors)])
            told.loc[good] = rows
        return told.set_axis(X.index)

    def save(self, folder: str | Path) -> str:
        """Write the model folder, which the service and the registry take; return its digest."""
        check_is_fitted(self)
        return self.model_.save(Path(folder))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        columns: Mapping[str, Any] | None = None,
        decimal: Literal[".", ","] | None = None,
    ) -> Self:
        """Load a model folder that :meth:`save`, the pipeline or the registry has written.

        Parameters
        ----------
        columns : how the DataFrames that are to be priced are read; no folder holds that.
        decimal : the sign before decimals in their texts; None: found, or as in training.

        Raises
        ------
        InputError, CorruptModelError
            If there is no model folder, or its bytes are not those that were written.
        """
        model = PriceModel.load(Path(folder))
        loaded = cls(
            columns=columns,
            extra={alias(field): field.partition(":")[0] for field in model.own} or None,
            decimal=decimal,
            currency=model.market.currency,
            distance=model.market.distance_unit,  # type: ignore[arg-type]
            valuation_date=model.market.valuation_date,
        )
        loaded.model_, loaded.columns_ = model, {}
        return loaded

    def _read(self, X: pd.DataFrame) -> tuple[MappedChunk, pd.Series]:
        """Return the listings as they are read, and why each cannot be priced."""
        check_is_fitted(self)
        settings = self._ingest_settings(with_price=False).with_own(self.model_.own)
        decimals = self.model_.market.decimals
        table = checked_frame(X)
        mapped = read_fields(table, settings, decimals, price_required=False)
        warn_of_units(table, mapped, settings, price_required=False)
        known = {*getattr(self, "feature_names_in_", ()), *self._price_columns()}
        warn_of_ignored([name for name in mapped.ignored if name not in known])
        absent = [alias(field) for field in self.columns_ if field not in mapped.origin]
        if absent:
            warn(
                f"X has no column for {', '.join(absent)}, which the model learned from; priced "
                "as if unknown"
            )
        warn_of_unreadable(mapped, settings, "have no price")
        required = [name for name in REQUIRED if settings.columns.get(name, name) is not None]
        problems = problems_of(mapped.frame, mapped.raw_unreadable, required)
        told = {row for found in mapped.raw_unreadable.values() for row in found.index}
        bad = problems[(problems != "") & ~problems.index.isin(told)]
        if len(bad):
            warn(
                f"{len(bad)} of {len(X)} listings have no price, the first in row {bad.index[0]}: "
                f"{bad.iloc[0]}"
            )
        return mapped, problems

    def _ingest_settings(self, *, with_price: bool) -> IngestSettings:
        settings = _validated(
            IngestSettings,
            {
                "source": SOURCE,
                "extra": dict(self.extra or {}),
                "columns": dict(self.columns or {}),
                "units": {"currency": self.currency, "distance": self.distance},
                "decimal": self.decimal,
                "price_range": self.price_range,
                "valuation_date": self.valuation_date,
                "max_unreadable": self.max_unreadable,
                "repeats": self.repeats,
                "junk": self.junk,
            },
        )
        own = {} if with_price else {PRICE: None}
        return settings.model_copy(update={"columns": {**settings.columns, **own}})

    def _price_columns(self) -> set[str]:
        rule = self._ingest_settings(with_price=True).columns.get(PRICE)
        return {*PRICE_ALIASES, *(rule.columns if rule else ())}


def _warn_if_implausible(source: Source, settings: IngestSettings) -> None:
    """Warn where the pipeline would refuse figures that no market of used cars has."""
    try:
        refuse_implausible(source.frame, settings, SOURCE, rules_of(source, settings))
    except InputError as error:
        warn(for_python(str(error)))


def _validated(kind: type[Model], values: Mapping[str, Any]) -> Model:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ListingsError(describe(error)) from None
