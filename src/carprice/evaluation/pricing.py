"""Price a table of listings: one row of answers for each."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.appraisal.comparables import ranks_of
from carprice.appraisal.deal import judged
from carprice.errors import InputError
from carprice.listings.features import TYPE_FIELDS, listings_of
from carprice.listings.frames import as_columns
from carprice.listings.problems import WrongField, problem_of, read_value
from carprice.listings.remedies import told_unreadable
from carprice.listings.unreadable import Unreadable
from carprice.model import PriceModel
from carprice.model.explanation import Explanation
from carprice.model.pricer import Outlook, Valuation
from carprice.schema import (
    KINDS,
    NUMERIC,
    PRICE,
    PRICE_NAMES,
    REQUIRED,
    FieldKind,
    alias,
    bounds,
    kind_of,
    name_in_requests,
    own_of,
)
from carprice.settings import IngestSettings

_COLUMNS: Final = (*PRICE_NAMES, "warnings", "problem")
DEAL_NAMES: Final = ("deal", "dealReason", "percentile")
"""How an asking price compares: the label, why there is none, and the percentile."""
RANK: Final = "comparablesRank"
"""The place of an asking price among the prices of the car's comparables."""
_LONGEST_TEXT: Final = 200


def answers(
    model: PriceModel, listings: pd.DataFrame, problems: pd.Series, confidence: float
) -> pd.DataFrame:
    """Return prices, warnings and problems of listings with one column a field.

    The index is the listings'. A row with a problem, see :func:`problems_of`, has NaN for prices.
    ``warnings`` joins the messages by semicolons. A confidence outside 0.5–0.99 is a ValueError.
    """
    good = listings.loc[problems == ""]
    given = listings_of(as_columns(good)) if len(good) else ()
    return _answered(problems, good.index, [*model.pricer.value_all(given, confidence)])


def answers_and_reasons(
    model: PriceModel,
    listings: pd.DataFrame,
    problems: pd.Series,
    confidence: float,
    asking: pd.Series | None = None,
) -> tuple[pd.DataFrame, list[Explanation]]:
    """Return the same, and the explanations of the rows without a problem; all of one reading.

    Parameters
    ----------
    asking : prices above 0 that are asked, NaN where none is; with them there are
        :data:`DEAL_NAMES` and :data:`RANK`, too, empty where no price is asked.
    """
    good = listings.loc[problems == ""]
    of_type = good.groupby([*TYPE_FIELDS], dropna=False, observed=True).ngroup().to_numpy()
    order = np.argsort(of_type, kind="stable")  # what is known of a type is looked up once
    good = good.iloc[order]
    given = listings_of(as_columns(good)) if len(good) else ()
    both = [*model.pricer.appraise_all(given, confidence)]
    answered = _answered(problems, good.index, [outlook.valuation for outlook, _ in both])
    if asking is not None:
        asked = asking.loc[good.index].tolist()
        rows = [_deal(model, *one) for one in zip((own for own, _ in both), asked, strict=True)]
        deals = pd.DataFrame(rows, good.index, [*DEAL_NAMES], dtype=object)
        deals[RANK] = _ranks(model, [own for own, _ in both], asked)
        answered = answered.join(deals.astype({DEAL_NAMES[-1]: "float64"}))
    return answered, [both[place][1] for place in np.argsort(order).tolist()]


def _ranks(
    model: PriceModel, outlooks: Sequence[Outlook], asking: Sequence[float]
) -> list[str | None]:
    """Return the rank of each price asked; None where there is none, or comparables are few."""
    asked = [place for place, price in enumerate(asking) if not math.isnan(price)]
    own = [outlooks[place] for place in asked]
    listings, cars = [one.listing for one in own], [(one.car_type, one.car) for one in own]
    ranks = ranks_of(model, listings, [asking[place] for place in asked], cars)
    found: list[str | None] = [None] * len(asking)
    for place, rank in zip(asked, ranks, strict=True):
        found[place] = None if rank is None else str(rank)
    return found


def _answered(problems: pd.Series, good: pd.Index, valued: Sequence[Valuation]) -> pd.DataFrame:
    found = pd.DataFrame(index=problems.index, columns=[*_COLUMNS], dtype=object)
    found["problem"], found["warnings"] = problems, ""
    if valued:
        found.loc[good, [*PRICE_NAMES]] = np.array([one.prices for one in valued])
        found.loc[good, "warnings"] = [
            "; ".join(caution.message for caution in one.cautions) for one in valued
        ]
    numbers = dict.fromkeys(PRICE_NAMES, "float64")
    return found.astype({**numbers, "warnings": "str", "problem": "str"})


def _deal(
    model: PriceModel, outlook: Outlook, asking: float
) -> tuple[str | None, str | None, float]:
    if math.isnan(asking):
        return None, None, math.nan
    deal = judged(model, outlook, asking)
    percentile = math.nan if deal.percentile is None else deal.percentile
    return deal.label, deal.reason.message if deal.reason else None, percentile


def with_defaults(priced: pd.DataFrame, defaulted: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return answers in whose warnings stands which field was missing and what it was taken for.

    Parameters
    ----------
    defaulted : field → what it was taken for, by row; see
        :class:`carprice.listings.column_map.MappedChunk`.
    """
    warnings = priced["warnings"].copy()
    for field, taken in defaulted.items():
        rows = taken.index[(priced["problem"].loc[taken.index] == "").to_numpy()]
        told = f"{alias(field)} is missing; priced as {taken.iloc[0]!r}, the default of its rule"
        warnings.loc[rows] = [f"{one}; {told}" if one else told for one in warnings.loc[rows]]
    return priced.assign(warnings=warnings)


def with_left_out(priced: pd.DataFrame, left_out: pd.Series) -> pd.DataFrame:
    """Return answers and those of the rows that are left out: no price, and why, in row order."""
    if not len(left_out):
        return priced
    others = pd.DataFrame(index=left_out.index, columns=[*_COLUMNS]).astype(priced.dtypes)
    others["warnings"], others["problem"] = "", left_out.astype(priced["problem"].dtype)
    return pd.concat([priced, others]).sort_index()


def problems_of(
    listings: pd.DataFrame,
    unreadable: Mapping[str, pd.Series],
    required: Collection[str] = REQUIRED,
) -> pd.Series:
    """Return why each listing cannot be priced, as the service says it; empty where it can.

    Parameters
    ----------
    listings : one column a field.
    unreadable : field → what could not be read, as it came, by row.
    required : the fields that a row must have.
    """
    own = own_of(listings.columns)
    problems = pd.Series("", index=listings.index, dtype=object)
    odd = _odd_rows(listings, required)
    for found in unreadable.values():
        odd |= listings.index.isin(found.index)
    for row in listings.index[odd]:
        raw = {field: found[row] for field, found in unreadable.items() if row in found.index}
        problems[row] = _problem(listings.loc[row], raw, required, own)
    return problems


def _odd_rows(listings: pd.DataFrame, required: Collection[str]) -> Any:
    """Return which rows may be no valid listings, by quick looks at whole columns."""
    odd = listings[[*required]].isna().any(axis=1).to_numpy(copy=True)
    for field in (*KINDS, *own_of(listings.columns)):
        kind, values = kind_of(field), listings[field]
        if kind in NUMERIC:
            low, high = bounds(field)
            odd |= ((values < low) | (values > high)).to_numpy()
        elif kind is not FieldKind.DATE:
            long = {one for one in {*values} if isinstance(one, str) and len(one) > _LONGEST_TEXT}
            if long:
                odd |= values.isin(long).to_numpy()
    return odd


def _problem(
    listing: pd.Series, raw: Mapping[str, Any], required: Collection[str], own: tuple[str, ...]
) -> str:
    known = {*KINDS, *own}
    fields = {field: read_value(field, value) for field, value in listing.items() if field in known}
    read = {field: value for field, value in fields.items() if not pd.isna(listing[field])}
    given = {field: read_value(field, value) for field, value in raw.items() if field in known}
    both = {name_in_requests(field): value for field, value in {**read, **given}.items()}
    found = problem_of(both, required, own)
    # What the listing would take, but the column's rule does not.
    unread = [
        str(WrongField(alias(field), "cannot be read by its rule in ingest.columns", str(value)))
        for field, value in given.items()
        if f"{alias(field)}: " not in found
    ]
    return "; ".join(itertools.chain([found] if found else [], unread))


def refuse_unreadable(
    unreadable: Mapping[str, Unreadable],
    origin: Mapping[str, Sequence[str]],
    rows: int,
    settings: IngestSettings,
    label: str,
) -> None:
    """Raise an InputError if more of a field cannot be read than the largest share allowed.

    One value in a file is a bad row, however few rows there are; more are a wrong rule. Of prices
    asked there is none too many: none is needed.

    Parameters
    ----------
    unreadable : what could not be read, by field.
    origin : the source's columns that each field was read from.
    """
    problems = [
        told_unreadable(
            field, origin[field], found, rows, settings, "to leave such rows without a price"
        )
        for field, found in unreadable.items()
        if field != PRICE and found.count > max(1, settings.max_unreadable * rows)
    ]
    if problems:
        raise InputError(f"{label}: {'. Besides, '.join(problems)}")
