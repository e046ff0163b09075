"""Years and kinds of cars whose prices contradict those of their neighbours.

A year's cars cost about what the same models cost in the years beside it. Where many of them cost a
third or three times that, the year is mistyped, or the price is of something else.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Codes, Floats
from carprice.schema import PRICE, alias

_FAR: Final = 2.5
_FEWEST_ROWS: Final = 10
_LEAST_SHARE: Final = 0.2
_MANY_ROWS: Final = 100  # of which half that share is enough
_LEAST_SHARE_OF_KIND: Final = 0.5
_TIMES_THE_OTHERS: Final = 3.0
_YEARS_BESIDE: Final = 3
_FEWEST_BESIDE: Final = 3
_EXAMPLES: Final = 3
_MOST: Final = 5
_KINDS: Final = (
    *("fuel_type", "transmission_type", "body_type", "drive", "condition", "seller_type"),
    *("ownership", "region", "color"),
)
_FAR_VARIANT: Final = 4.0  # a model's variants differ more than kinds do


_Expected = Callable[[pd.DataFrame], Floats]
"""Of rows, each one's expected ln(price)."""


@dataclass(frozen=True)
class Contradiction:
    """A model year, or a value of another field, whose prices contradict its neighbours.

    Attributes
    ----------
    field, value : such as ``year`` and ``2024``.
    rows, far : number of its listings, and of those that cost far less, or far more.
    factor : what these cost in the median, as a part of what is expected.
    examples : make, model, year, price and expected price of some of them.
    """

    field: str
    value: str
    rows: int
    far: int
    factor: float
    examples: tuple[tuple[str, str, int, float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "examples": [[*one] for one in self.examples]}

    def in_words(self) -> str:
        """Tell what is odd, with examples."""
        shown = "; ".join(
            f"{make} {model} {year} at {price:,.0f} beside {expected:,.0f}"
            for make, model, year, price, expected in self.examples
        )
        beside = "in the years beside" if self.field == "year" else "otherwise"
        return (
            f"{self.field} {self.value}: {self.far:,} of {self.rows:,} listings cost "
            f"{self.factor:.2g} times what the same models cost {beside}, such as {shown}"
        )


def find_contradictions(listings: pd.DataFrame) -> list[Contradiction]:
    """Return the years and kinds whose prices contradict their neighbours, the largest first.

    Parameters
    ----------
    listings : clean listings with their prices.
    """
    rows = pd.DataFrame(
        {
            "model": _numbered(listings, ["make", "model"]),
            "year": listings["year"],
            "price": np.log(listings[PRICE].to_numpy(dtype=np.float64)),
        },
        index=listings.index,
    )
    found: list[Contradiction] = []
    left = np.ones(len(listings), dtype=bool)  # what was named is no neighbour of others

    def look(fields: Sequence[str], beside: _Expected, least: float, times: float = _FAR) -> None:
        kinds = _numbered(listings, fields)
        if not (np.bincount(kinds[left] + 1)[1:] >= _FEWEST_ROWS).any():
            return
        apart = rows["price"][left] - beside(rows[left].assign(kind=kinds[left]))
        odd = _odd(listings[left], fields, kinds[left], apart.to_numpy(), least, times)
        if beside is _by_other_kinds:
            odd = odd[:1]  # what the others then seem to be is its mirror
        found.extend(one for _, one in odd)
        left[np.isin(kinds, [kind for kind, _ in odd])] = False

    # Half of a kind must be odd: its damaged cars alone make it no contradiction.
    for field in _KINDS:
        look([field], _by_other_kinds, _LEAST_SHARE_OF_KIND)
    look(["make", "model", "variant"], _by_other_kinds, _LEAST_SHARE_OF_KIND, _FAR_VARIANT)
    look(["year"], _by_years_beside, _LEAST_SHARE)
    look(["make", "year"], _by_years_beside, _LEAST_SHARE_OF_KIND)
    look(["make", "model", "year"], _by_years_beside, _LEAST_SHARE_OF_KIND)
    return sorted(found, key=lambda one: -one.far)[:_MOST]


def _by_years_beside(rows: pd.DataFrame) -> Floats:
    """Return each row's ln(price) by what its model costs in the years beside its own."""
    groups = rows.groupby(["model", "year"])["price"]
    cells = groups.agg(["median", "size"])
    models, years = (cells.index.get_level_values(name) for name in ("model", "year"))

    def beside(name: str, offset: int) -> Floats:
        keys = pd.MultiIndex.from_arrays([models, years + offset])
        return np.asarray(cells[name].reindex(keys), dtype=np.float64)

    steps = cells["median"].to_numpy() - beside("median", -1)
    step = float(np.nanmedian(steps)) if np.isfinite(steps).any() else 0.0
    offsets = [offset for offset in range(-_YEARS_BESIDE, _YEARS_BESIDE + 1) if offset]
    near = pd.DataFrame({n: beside("median", n) - step * n for n in offsets}, cells.index)
    count = np.nansum([beside("size", offset) for offset in offsets], axis=0)
    expected = near.median(axis=1).where(count >= _FEWEST_BESIDE)
    return np.asarray(expected.to_numpy()[groups.ngroup()], dtype=np.float64)


def _by_other_kinds(rows: pd.DataFrame) -> Floats:
    """Return each row's ln(price) by what other kinds of its model cost in its year."""
    known = rows["kind"].to_numpy() >= 0
    groups = rows[known].groupby(["model", "year", "kind"])["price"]
    cells = groups.median()
    all_kinds = cells.groupby(level=["model", "year"])
    total, others = all_kinds.transform("sum") - cells, all_kinds.transform("size") - 1
    found = np.full(len(rows), np.nan)
    found[known] = (total / others.where(others > 0)).to_numpy()[groups.ngroup()]
    return found


def _numbered(listings: pd.DataFrame, fields: Sequence[str]) -> Codes:
    """Return a number from 0 for what each listing has in some fields; -1 where one is missing."""
    keys, is_known = np.zeros(len(listings), dtype=np.int64), np.ones(len(listings), dtype=bool)
    for field in fields:
        codes, different = pd.factorize(listings[field])
        keys = keys * (len(different) + 1) + codes
        is_known &= codes >= 0
    found = np.full(len(listings), -1, dtype=np.intp)
    found[is_known] = pd.factorize(keys[is_known])[0]
    return found


def _odd(
    listings: pd.DataFrame,
    fields: Sequence[str],
    kinds: Codes,
    apart: Floats,
    least: float,
    times: float,
) -> list[tuple[int, Contradiction]]:
    """Return the kinds of which many rows are far from expected, the farthest first.

    Parameters
    ----------
    fields : whose values name a kind; the last is what is told to contradict.
    kinds : the number of each row's kind; -1 where it has none.
    apart : each row's ln(price) less what is expected.
    """
    known = np.isfinite(apart) & (kinds >= 0)
    rows = np.bincount(kinds[known])
    found = []
    for sign in (-1, 1):
        is_far = known & (sign * apart > np.log(times))
        far = np.bincount(kinds[is_far], minlength=len(rows))
        others = (far.sum() - far) / np.maximum(rows.sum() - rows, 1)
        is_year = fields[-1] == "year"
        needed = np.where(is_year & (far >= _MANY_ROWS), least / 2, least)
        needed = np.maximum(needed, np.minimum(_TIMES_THE_OTHERS * others, 0.9))
        odd = (far >= _FEWEST_ROWS) & (far >= needed * rows)
        for kind in np.flatnonzero(odd).tolist():
            mine = np.flatnonzero(is_far & (kinds == kind))
            shown = mine[np.argsort(-np.abs(apart[mine]), kind="stable")][:_EXAMPLES]
            cars = listings.iloc[shown]
            examples = zip(
                cars["make"], cars["model"], cars["year"].astype(int), cars[PRICE],
                cars[PRICE] / np.exp(apart[shown]), strict=True,
            )  # fmt: skip
            name = " ".join(_text(cars[field].iloc[0]) for field in fields)
            told = Contradiction(
                alias(fields[-1]), name, int(rows[kind]), len(mine),
                float(np.exp(np.median(apart[mine]))),
                tuple((a, b, int(c), float(d), float(e)) for a, b, c, d, e in examples),
            )  # fmt: skip
            found.append((kind, told))
    return sorted(found, key=lambda one: (-round(abs(np.log(one[1].factor))), one[1].rows))


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
