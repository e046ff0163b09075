"""Loader of the model folder for MLflow's pyfunc flavour: ``mlflow models serve`` uses it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from carprice.errors import InputError
from carprice.listings.own import with_own
from carprice.listings.problems import ERRORS_OF_ROW, read_value, wrong_fields
from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.schema import FIELDS, Listing, name_in_requests, names_of

_SHOWN_ROWS: Final = 10


class WrongListingsError(InputError, ValueError):
    """Rows that the service would refuse."""


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

        Raises
        ------
        WrongListingsError
            If the service would refuse a row: it names the rows, their fields and values.
        """
        confidence = float((params or {}).get("confidence", DEFAULT_CONFIDENCE))
        about_model = self.model.content(confidence)
        read = _read(listings, self.model.own)
        valuations = self.model.pricer.value_all(map(vars, read), confidence)
        return pd.DataFrame({**valuation.content(), **about_model} for valuation in valuations)


def _read(frame: pd.DataFrame, own: tuple[str, ...]) -> list[Listing]:
    """Return the rows as listings; refuse them all where one is wrong, as the service does."""
    listings: list[Listing] = []
    problems: list[str] = []
    read = with_own(Listing, own).model_validate
    for row, fields in enumerate(_rows(frame, own)):
        try:
            listings.append(read(fields))
        except ValidationError as error:
            problems += map(str, wrong_fields(error, f"rows[{row}].", ERRORS_OF_ROW, own))
    if problems:
        raise WrongListingsError("; ".join(problems[:_SHOWN_ROWS]))
    return listings


def _rows(frame: pd.DataFrame, own: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield what each row has, by field name."""
    columns = {}
    for field in (*FIELDS, *own):
        for name in names_of(field):
            if name in frame:
                values = frame[name].astype(object).where(frame[name].notna(), None)
                read = [read_value(field, value) for value in values]
                columns[name_in_requests(field)] = read
    for row in range(len(frame)):
        given = {field: values[row] for field, values in columns.items()}
        yield {field: value for field, value in given.items() if value is not None}


def _load_pyfunc(path: str) -> PricePyfunc:
    """Load the model folder; MLflow calls this by name."""
    folder = Path(path)
    try:
        return PricePyfunc(PriceModel.load(folder))
    except InputError as error:
        raise RuntimeError(str(error)) from error
