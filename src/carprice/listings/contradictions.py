"""Years and kinds of cars whose prices contradict those of their neighbours.

A year's cars cost about what the same models cost in the years beside it. Where many of them cost a
third or three times that, the year is mistyped, or the price is of something else.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats
from carprice.schema import PRICE, alias

_FAR: Final = 2.5
_FEWEST_ROWS: Final = 10
_LEAST_SHARE: Final = 0.2
_LEAST_SHARE_OF_KIND: Final = 0.5
_TIMES_THE_OTHERS: Final = 3.0
_YEARS_BESIDE: Final = 3
_FEWEST_BESIDE: Final = 3
_EXAMPLES: Final = 3
_MOST: Final = 5
_KINDS: Final = (
    *("fuel_type", "transmission_type", "body_type", "drive", "condition", "seller_type"),
    *("ownership", "region"),
)


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
            "model": listings.groupby(["make", "model"], sort=False).ngroup(),
            "year": listings["year"],
            "price": np.log(listings[PRICE].to_numpy(dtype=np.float64)),
        }
    )
    found = _odd(listings, "year", rows["price"], _by_years_beside(rows), _LEAST_SHARE)
    for field in _KINDS:
        kinds = rows.assign(kind=listings[field])
        # Half of a kind must be odd: its damaged cars alone make it no contradiction.
        odd = _odd(listings, field, rows["price"], _by_other_kinds(kinds), _LEAST_SHARE_OF_KIND)
        found += odd[:1]  # what the others then seem to be is its mirror
    return sorted(found, key=lambda one: -one.far)[:_MOST]


def _by_years_beside(rows: pd.DataFrame) -> Floats:
    """Return each row's ln(price) by what its model costs in the years beside its own."""
    cells = rows.groupby(["model", "year"])["price"].agg(["median", "size"])
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
    found = expected.reindex(_keys(rows, "model", "year"))
    return np.asarray(found, dtype=np.float64)


def _by_other_kinds(rows: pd.DataFrame) -> Floats:
    """Return each row's ln(price) by what other kinds of its model cost in its year."""
    cells = rows.groupby(["model", "year", "kind"], observed=True)["price"].median()
    all_kinds = cells.groupby(level=["model", "year"]).agg(["sum", "size"])
    whole = all_kinds.reindex(_keys(rows, "model", "year"))
    own = cells.reindex(_keys(rows, "model", "year", "kind")).to_numpy(dtype=np.float64)
    others = whole["size"].to_numpy(dtype=np.float64) - 1
    expected = (whole["sum"].to_numpy(dtype=np.float64) - own) / np.where(others > 0, others, 1)
    return np.where(others > 0, expected, np.nan)


def _keys(rows: pd.DataFrame, *names: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[[*names]])


def _odd(
    listings: pd.DataFrame, field: str, log_price: pd.Series, expected: Floats, least: float
) -> list[Contradiction]:
    """Return the values of a field of which many rows are far from expected, the farthest first."""
    apart = log_price.to_numpy() - expected
    known = np.isfinite(apart) & listings[field].notna().to_numpy()
    codes, values = pd.factorize(listings[field].where(known))
    rows = np.bincount(codes[codes >= 0], minlength=len(values))
    found = []
    for sign in (-1, 1):
        is_far = known & (sign * apart > np.log(_FAR))
        far = np.bincount(codes[is_far], minlength=len(values))
        others = (far.sum() - far) / np.maximum(rows.sum() - rows, 1)
        needed = np.maximum(least, np.minimum(_TIMES_THE_OTHERS * others, 0.9))
        odd = (far >= _FEWEST_ROWS) & (far >= needed * rows)
        for place in np.flatnonzero(odd):
            mine = np.flatnonzero(is_far & (codes == place))
            shown = mine[np.argsort(-np.abs(apart[mine]), kind="stable")][:_EXAMPLES]
            cars = listings.iloc[shown]
            examples = zip(
                cars["make"], cars["model"], cars["year"].astype(int), cars[PRICE],
                np.exp(expected[shown]), strict=True,
            )  # fmt: skip
            value = values[place]
            name = f"{value:g}" if isinstance(value, float) else str(value)
            found.append(
                Contradiction(
                    alias(field), name, int(rows[place]), len(mine),
                    float(np.exp(np.median(apart[mine]))),
                    tuple((a, b, int(c), float(d), float(e)) for a, b, c, d, e in examples),
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: (-round(abs(np.log(one.factor))), one.rows))
