"""Loader of the model folder for MLflow's pyfunc flavour: ``mlflow models serve`` uses it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.features import listings_of
from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.schema import FIELDS, KINDS, NUMERIC, alias, parse_ordinal


class PricePyfunc:
    """Answers data frames of listings, in camelCase or snake_case columns."""

    def __init__(self, model: PriceModel) -> None:
        self.model = model

    def predict(self, listings: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row a listing: the fields that the service answers with.

        Parameters
        ----------
        listings : one row a listing.
        params : ``confidence``, from 0.5 to 0.99.
        """
        confidence = float((params or {}).get("confidence", DEFAULT_CONFIDENCE))
        columns = {}
        for field in FIELDS:
            for name in (alias(field), field):
                if name in listings:
                    columns[field] = [_readable(field, value) for value in _plain(listings[name])]
        about_model = self.model.content(confidence)
        valuations = self.model.pricer.value_all(listings_of(columns), confidence)
        return pd.DataFrame({**valuation.content(), **about_model} for valuation in valuations)


def _plain(values: pd.Series) -> list[Any]:
    known = values.astype(object).where(values.notna(), None)
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in known]


def _readable(field: str, value: Any) -> Any:
    """Read numbers given as text, as the service does."""
    if value is None or KINDS[field] not in NUMERIC:
        return value
    try:
        number: Any = parse_ordinal(value) if field == "ownership" else value
        return float(number)
    except (TypeError, ValueError):
        raise ValueError(f"{alias(field)} is {value!r}; it must be a number") from None


def _load_pyfunc(path: str) -> PricePyfunc:
    """Load the model folder; MLflow calls this by name."""
    folder = Path(path)
    try:
        return PricePyfunc(PriceModel.load(folder))
    except InputError as error:
        raise RuntimeError(str(error)) from error
