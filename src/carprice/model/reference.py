"""What training was like: which cars, and how far off cross-validated prices were.

Whoever looks at a model in use compares what comes in, and what cars are seen to cost, with it. All
of it is counts and a few figures a segment; no listing can be told from them. Each car counts once.
"""

import datetime
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import Features
from carprice.listings.keys import DetailKey, ModelKey
from carprice.listings.market import Market
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import own_texts

if TYPE_CHECKING:
    from carprice.model.pricer import Prices

REST: Final = "*"
"""Stands for all values of a field that are not named; normalised texts never are it."""
CATEGORIES: Final = ("make", "model", "fuel", "transmission", "body", "drive", "region")
"""Texts whose shares are kept, beside the market's own columns."""
BINNED: Final = ("age", "odometer", "price")
"""Numbers whose histograms are kept, see :func:`numbers_of`; the price is what the model says."""
NAMES: Final = ("make", "model", "variant")
MISSING: Final = (
    *("color", "condition", "seller", "ownership", "fitness_age", "litres", "power_bhp"),
    *("cylinders", "seats", "fuel_economy", "road_tax", "new_price"),
)
"""Further values of which is kept how often they are missing."""
SEGMENTED: Final = ("make", "model", "age", "fuel", "transmission", "body", "region", "price")
"""What parts the cars into segments; the price by fifths of what the model says."""
FEWEST_ROWS: Final = 30
"""Training cars from which on a segment has figures."""
_MOST_VALUES: Final = 40
_MOST_OWN: Final = 12
_BINS: Final = 10
_DIGITS: Final = 6
_BANDS: Final = (*AGE_BANDS,)
_HUBER: Final = 1.5
_NORMAL_MAD: Final = 1.4826
_TURNS: Final = 12
_TINY: Final = 1e-9
_GOLDEN: Final = 0.6180339887498949  # its multiples lie evenly between whole numbers


class Middle(NamedTuple):
    """The middle of some values, by Huber's M-estimator: far-off ones count no more than near ones.

    Attributes
    ----------
    rows : number of values.
    level, error : the estimate and its standard error.
    """

    rows: int
    level: float
    error: float


def middle_of(values: Floats) -> Middle:
    """Estimate the middle of n values, one at least.

    Examples
    --------
    >>> found = middle_of(np.array([1.0, 2, 3, 4, 5, 6, 1000]))
    >>> found.rows, round(found.level, 1), round(found.error, 1)
    (7, 4.2, 1.1)
    """
    middle = float(np.median(values))
    spread = max(_NORMAL_MAD * float(np.median(np.abs(values - middle))), _TINY)
    reach = _HUBER * spread
    for _ in range(_TURNS):
        held = np.clip(values - middle, -reach, reach)
        inside = max(float(np.mean(np.abs(held) < reach)), 1 / len(values))
        step = float(held.mean()) / inside
        middle += step
        if abs(step) < _TINY:
            break
    held = np.clip(values - middle, -reach, reach)
    inside = max(float(np.mean(np.abs(values - middle) < reach)), 1 / len(values))
    degrees = max(len(values) - 1, 1)
    error = math.sqrt(float(np.sum(held**2)) / degrees / len(values)) / inside
    return Middle(len(values), middle, error)


class Residuals(NamedTuple):
    """How far off cross-validated prices of a segment were.

    Attributes
    ----------
    rows : training cars of the segment.
    level, error : middle of ln(price / predicted), and its standard error.
    size, size_error : middle of |ln(price / predicted) - level| in half widths of the range at
        90 %, and its standard error: how much prices scatter beside what the model expects.
    inside : share of the prices within their range at 90 %.
    """

    rows: int
    level: float
    error: float
    size: float
    size_error: float
    inside: float


def residuals_of(off: Floats, half: Floats, inside: Floats) -> Residuals:
    """Tell the figures of n prices.

    Parameters
    ----------
    off : ln(price / predicted).
    half : half the width of each range at 90 %, in ln(price).
    inside : 1 where the price lies within its range, else 0.
    """
    middle = middle_of(off)
    sizes = middle_of(np.abs(off - middle.level) / np.maximum(half, _TINY))
    return Residuals(*middle, sizes.level, sizes.error, float(inside.mean()))


def segments_of(
    features: Features, price: Floats, edges: Sequence[float]
) -> dict[str, Sequence[str]]:
    """Return the segment of each of n cars by each of :data:`SEGMENTED`; empty where not known.

    Parameters
    ----------
    price : what the model says.
    edges : prices between the fifths of the market.
    """
    fifths = np.searchsorted(np.asarray(edges, dtype=np.float64), price, side="right") + 1
    bands = age_bands(features.numbers["age"]).tolist()
    return {
        **{name: features.texts[name] for name in SEGMENTED if name not in ("age", "price")},
        "age": [_BANDS[band] for band in bands],
        "price": [f"fifth {fifth}" for fifth in fifths.tolist()],
    }


@dataclass(frozen=True)
class Reference:
    """What training was like.

    Attributes
    ----------
    rows : number of cars.
    first, last : days of the first and the last listing, ISO 8601; None where listings have none.
    shares : number of cars by field and value; "" is missing, :data:`REST` all that are not named.
        Numbers are by the place of their bin.
    edges : of the bins, by number; ``fifths`` those between the fifths of predicted prices.
    missing : number of cars without a value, by feature.
    once : number of cars whose make, model or variant no other car had: their share is what is to
        be expected of new ones among further cars (Good and Turing).
    residuals : by what parts the cars, then by segment; "" and "" is the whole market.
    """

    rows: int
    first: str | None
    last: str | None
    shares: Mapping[str, Mapping[str, int]]
    edges: Mapping[str, Sequence[float]]
    missing: Mapping[str, int]
    once: Mapping[str, int]
    residuals: Mapping[str, Mapping[str, Residuals]]

    @classmethod
    def fit(
        cls,
        features: Features,
        log_price: Floats,
        guess: "Prices",
        market: Market,
    ) -> Self:
        """Count n training cars, one row each.

        Parameters
        ----------
        guess : cross-validated prices, and their ranges at 90 %.
        """
        price, low, high = guess.price, guess.low, guess.high
        numbers = numbers_of(features, price, market)
        edges = {name: _edges(numbers[name], _BINS) for name in BINNED}
        edges["fifths"] = _edges(price, 5)
        own = own_texts(features.own)[:_MOST_OWN]
        counts = {name: Counter(features.texts[name]) for name in (*CATEGORIES, *own)}
        shares = {name: _most(count) for name, count in counts.items()}
        shares |= {
            name: dict(sorted(Counter(binned(numbers[name], edges[name])).items()))
            for name in BINNED
        }
        off = log_price - np.log(price)
        half = (np.log(high) - np.log(low)) / 2
        inside = ((np.log(low) <= log_price) & (log_price <= np.log(high))).astype(np.float64)
        found: dict[str, dict[str, Residuals]] = {"": {"": residuals_of(off, half, inside)}}
        for kind, names in segments_of(features, price, edges["fifths"]).items():
            found[kind] = {
                name: residuals_of(off[rows], half[rows], inside[rows])
                for name, rows in rows_of(names)
                if len(rows) >= FEWEST_ROWS
            }
        listed = features.numbers["listed"]
        days = (_day(market.valuation_date, years) for years in (listed.min(), listed.max()))
        first, last = days if listed.any() else (None, None)
        return cls(
            rows=len(features),
            first=first,
            last=last,
            shares=shares,
            edges=edges,
            missing={name: int(_is_missing(features, name).sum()) for name in MISSING},
            once={name: once(names_in(features, name)) for name in NAMES},
            residuals=_rounded(found),
        )

    @property
    def whole(self) -> Residuals:
        """The figures of the whole market."""
        return self.residuals[""][""]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        residuals = {
            kind: {name: Residuals(*one) for name, one in of_kind.items()}
            for kind, of_kind in content["residuals"].items()
        }
        return cls(**{**content, "residuals": residuals})


def numbers_of(features: Features, price: Floats, market: Market) -> dict[str, Floats]:
    """Return the :data:`BINNED` numbers of n cars.

    By years of the calendar alone, all cars would be a year older on the first of January. Here
    they age by the day, and their first days are spread evenly over the model year.
    """
    after = np.rint(features.numbers["listed"] * 365.25).astype("timedelta64[D]")
    day = np.datetime64(market.valuation_date, "D") + after
    gone = (day - day.astype("datetime64[Y]")).astype(np.float64) / 365.25
    begun = np.arange(len(price)) * _GOLDEN % 1.0
    age, odometer = features.numbers["age"] + gone - begun, features.numbers["odometer"]
    return dict(zip(BINNED, (age, odometer, price), strict=True))


def rows_of(names: Sequence[str]) -> Iterator[tuple[str, Codes]]:
    """Yield each name but the empty one, with its rows, in sorted order."""
    every, codes = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(every)))
    for name, rows in zip(every.tolist(), np.split(order, ends)[:-1], strict=True):
        if name:
            yield name, rows


def binned(values: Floats, edges: Sequence[float]) -> list[str]:
    """Return the place of each number between edges, as two digits; empty where it is missing."""
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right").tolist()
    known = np.isfinite(values).tolist()
    return [
        f"{place:02d}" if is_known else "" for place, is_known in zip(places, known, strict=True)
    ]


def missing_in(features: Features) -> dict[str, Floats]:
    """Return, by each of :data:`MISSING`, 1 for each car that has no such value, else 0."""
    return {name: _is_missing(features, name) for name in MISSING}


def names_in(features: Features, name: str) -> list[str]:
    """Return one of :data:`NAMES` of each car; empty where it is not told."""
    if name != "variant":
        texts = features.texts[name]
        return texts if name == "make" else [t if ModelKey.read(t).model else "" for t in texts]
    return [text if DetailKey.read(text).detail else "" for text in features.texts["model_variant"]]


def once(names: Sequence[str]) -> int:
    """Return how many of some names, but for empty ones, stand there once."""
    return sum(number == 1 for name, number in Counter(names).items() if name)


def _is_missing(features: Features, name: str) -> Floats:
    if name in features.texts:
        return np.array([not text for text in features.texts[name]], dtype=np.float64)
    return np.isnan(features.numbers[name]).astype(np.float64)


def _edges(values: Floats, bins: int) -> list[float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    return [float(edge) for edge in np.unique(edges)]


def _most(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent values and their numbers, and that of the rest."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    kept = dict(ordered[:_MOST_VALUES])
    rest = sum(number for _, number in ordered[_MOST_VALUES:])
    return {**kept, REST: rest} if rest else kept


def _rounded(found: Mapping[str, Mapping[str, Residuals]]) -> dict[str, dict[str, Residuals]]:
    return {
        kind: {
            name: Residuals(one.rows, *(round(value, _DIGITS) for value in one[1:]))
            for name, one in of_kind.items()
        }
        for kind, of_kind in found.items()
    }


def _day(valuation_date: datetime.date, years: float) -> str:
    return (valuation_date + datetime.timedelta(days=round(years * 365.25))).isoformat()
