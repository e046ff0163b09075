"""Tell which prices of listings are no car's price, and what such cars cost."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from carprice.arrays import Coded, Codes, Each, Floats, picked
from carprice.listings.believed import BELIEVED
from carprice.listings.cars import cars_of
from carprice.listings.cells import with_own_categories
from carprice.listings.features import Features
from carprice.listings.frames import parse_listings
from carprice.listings.market import Market
from carprice.model.trust import MOST_ROWS, Judged, PriceJudge, judge_prices, judge_rows
from carprice.schema import PRICE

_EXAMPLES: Final = 10
_OFTEN: Final = 3


@dataclass(frozen=True)
class Example:
    """A listing whose price is taken for junk.

    Attributes
    ----------
    odometer : in the market's distance unit; None where it is not known.
    expected : what such a car costs.
    """

    make: str
    model: str
    year: int
    odometer: float | None
    price: float
    expected: float

    def told(self, distance_unit: str | None) -> str:
        """Say it in words; without the odometer if there is no unit.

        Examples
        --------
        >>> Example("Kia", "Sonet", 2020, 30_000, 1.0, 812_345.6).told("km")
        'Kia Sonet of 2020, 30,000 km: 1; such a car costs about 812,000'
        """
        is_told = distance_unit is not None and self.odometer is not None
        driven = f", {self.odometer:,.0f} {distance_unit}" if is_told else ""
        about = float(f"{self.expected:.3g}")
        car = f"{self.make} {self.model} of {self.year}{driven}"
        return f"{car}: {self.price:,.10g}; such a car costs about {about:,.10g}"


@dataclass(frozen=True)
class Junk:
    """The prices that are taken for junk.

    Attributes
    ----------
    rows, of : how many of how many listings.
    below : how many of them ask less than what such cars cost; the others ask more.
    often : the prices that three or more of them ask, with their number, the commonest first.
    examples : some of them, from the lowest to the highest for what they are.
    """

    rows: int
    of: int
    below: int
    often: tuple[tuple[float, int], ...]
    examples: tuple[Example, ...]

    @classmethod
    def find(cls, listings: pd.DataFrame, trust: Floats, expected: Floats) -> Self:
        """Tell what is junk among n listings.

        Parameters
        ----------
        trust : how far each price is believed, 0 to 1.
        expected : ln(price) of such cars.
        """
        found = np.flatnonzero(trust < BELIEVED)
        rows = listings.iloc[found]
        price = rows[PRICE].to_numpy(dtype=np.float64)
        apart = np.log(price) - expected[found]
        counts = rows[PRICE].value_counts()
        often = sorted(counts[counts >= _OFTEN].items(), key=lambda one: (-one[1], one[0]))
        order = np.argsort(apart, kind="stable")
        count = min(_EXAMPLES, len(order))
        shown = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(np.intp))]
        examples = [
            Example(
                str(car.make), str(car.model), int(car.year),
                None if pd.isna(car.odometer) else float(car.odometer),
                float(one), float(like),
            )
            for car, one, like in zip(
                rows.iloc[shown].itertuples(), price[shown], np.exp(expected[found][shown]),
                strict=True,
            )
        ]  # fmt: skip
        return cls(
            len(found),
            len(listings),
            int((apart < 0).sum()),
            tuple((float(one), int(many)) for one, many in often[:_EXAMPLES]),
            tuple(examples),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        often, examples = [*map(list, self.often)], [*map(asdict, self.examples)]
        return asdict(self) | {"often": often, "examples": examples}

    def told(self, currency: str, distance_unit: str | None) -> Iterator[str]:
        """Say it in sentences; none where there is no junk.

        Parameters
        ----------
        distance_unit : of the examples' odometers; None if these are to be left out.
        """
        if not self.rows:
            return
        share, above = 100 * self.rows / self.of, self.rows - self.below
        yield (
            f"{self.rows:,} of {self.of:,} prices ({share:.2g} %) look like no car's price: "
            f"{self.below:,} far below and {above:,} far above what such cars cost"
        )
        if self.often:
            often = ", ".join(f"{one:,.10g} ({rows:,} times)" for one, rows in self.often)
            yield f"Asked for again and again, in {currency}: {often}"
        yield from (one.told(distance_unit) for one in self.examples)


def judge_listings(
    train: pd.DataFrame, test: pd.DataFrame, market: Market, each: Each | None = None
) -> Sequence[Judged]:
    """Judge the prices of training and test listings, in that order.

    Training listings are judged by each other, test listings by the training ones alone.

    Parameters
    ----------
    each : a cluster's, to judge many at once; None to judge them here.
    """
    if each is not None:
        return _judge_at(each, train, test, market)
    learned, asked = (np.log(one[PRICE].to_numpy(dtype=np.float64)) for one in (train, test))
    pick = Coded if len(train) > MOST_ROWS else picked  # the judge takes so many as lists
    judged = judge_prices(parse_listings(train, market, pick), learned)
    if judged.judge is None:
        return judged, Judged(None, np.ones(len(test)), asked)
    return judged, judged.judge.judge(parse_listings(test, market), asked)


def _judge_at(
    each: Each, train: pd.DataFrame, test: pd.DataFrame, market: Market
) -> Sequence[Judged]:
    cars, learned = cars_of(train), np.log(train[PRICE].to_numpy(dtype=np.float64))

    def take(some: Codes) -> Features:
        parsed = parse_listings(train.iloc[some], market)
        return replace(parsed, cars=None if cars is None else cars[some])

    def judge_all(judge: PriceJudge, listings: pd.DataFrame = train) -> Judged:
        parts = (
            with_own_categories(listings.iloc[first : first + MOST_ROWS])
            for first in range(0, len(listings), MOST_ROWS)
        )
        found = each(_judge_some, parts, judge, market)
        return Judged(judge, *map(np.concatenate, zip(*found, strict=True)))

    codes = np.arange(len(train), dtype=np.intp) if cars is None else cars
    judged = judge_rows(codes, learned, take, judge_all)
    if judged.judge is None:
        asked = np.log(test[PRICE].to_numpy(dtype=np.float64))
        return judged, Judged(None, np.ones(len(test)), asked)
    return judged, judge_all(judged.judge, test)


def _judge_some(listings: pd.DataFrame, judge: PriceJudge, market: Market) -> tuple[Floats, Floats]:
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    found = judge.judge(parse_listings(listings, market), log_price)
    return found.trust, found.expected
