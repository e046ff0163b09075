"""Price a table of listings: one row of answers for each."""

from typing import Final

import pandas as pd

from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.valuation import value

NUMBERS: Final = ("predicted_price", "price_low", "price_high")
ANSWERS: Final = (*NUMBERS, "warnings", "problem")
_NEEDED: Final = ("make", "model", "year")


def answers(model: PriceModel, listings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the columns :data:`ANSWERS` for listings with one column a field.

    The index is the listings'. A row that cannot be priced has NaN for numbers, and ``problem``
    says why; it is empty for the others. ``warnings`` joins the messages by semicolons.

    Raises
    ------
    ValueError
        If the confidence is outside 0.5–0.99.
    """
    problems = problems_of(listings)
    good = listings.loc[problems == ""]
    found = pd.DataFrame(index=listings.index, columns=[*ANSWERS], dtype=object)
    found["problem"], found["warnings"] = problems, ""
    if len(good):
        valued = value(model, as_columns(good), confidence)
        for name in NUMBERS:
            found.loc[good.index, name] = [getattr(one, name) for one in valued]
        found.loc[good.index, "warnings"] = [
            "; ".join(caution.message for caution in one.warnings) for one in valued
        ]
    return found.astype({**dict.fromkeys(NUMBERS, "float64"), "warnings": "str", "problem": "str"})


def problems_of(listings: pd.DataFrame) -> pd.Series:
    """Return why each listing cannot be priced; an empty text where it can."""
    problems = pd.Series("", index=listings.index, dtype=object)
    for field in _NEEDED:
        problems[listings[field].isna() & (problems == "")] = f"{field} is missing or unreadable"
    return problems
