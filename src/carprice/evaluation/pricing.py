"""Price a table of listings: one row of answers for each."""

from typing import Final

import numpy as np
import pandas as pd

from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.schema import PRICE_NAMES, REQUIRED_OF_A_ROW

_COLUMNS: Final = (*PRICE_NAMES, "warnings", "problem")


def answers(model: PriceModel, listings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return prices, warnings and problems of listings with one column a field.

    The index is the listings'. A row that cannot be priced has NaN for prices, and ``problem``
    says why; it is empty for the others. ``warnings`` joins the messages by semicolons. A
    confidence outside 0.5–0.99 is a ValueError.
    """
    problems = problems_of(listings)
    good = listings.loc[problems == ""]
    found = pd.DataFrame(index=listings.index, columns=[*_COLUMNS], dtype=object)
    found["problem"], found["warnings"] = problems, ""
    if len(good):
        valued = [*model.pricer.value_all(listings_of(as_columns(good)), confidence)]
        found.loc[good.index, [*PRICE_NAMES]] = np.array([one.prices for one in valued])
        found.loc[good.index, "warnings"] = [
            "; ".join(caution.message for caution in one.cautions) for one in valued
        ]
    numbers = dict.fromkeys(PRICE_NAMES, "float64")
    return found.astype({**numbers, "warnings": "str", "problem": "str"})


def problems_of(listings: pd.DataFrame) -> pd.Series:
    """Return why each listing cannot be priced; an empty text where it can."""
    problems = pd.Series("", index=listings.index, dtype=object)
    for field in REQUIRED_OF_A_ROW:
        problems[listings[field].isna() & (problems == "")] = f"{field} is missing or unreadable"
    return problems
