"""How far each price is believed: private ads ask 1, 111, a monthly rate, the price of a part.

The difference r of a row's ln(price) from what a plain ridge of other rows expects comes from one
of two. With probability 1 - π the row is a car's price, and r has Student's t-distribution with 4
degrees of freedom (Lange, Little & Taylor 1989) and the scale of cars of that age and as common a
model. Or else it is junk, and any ln(price) between the lowest and the highest is as likely. The
trust of a row is the posterior probability that it is a car's price. π and the scales are found by
EM (Dempster, Laird & Rubin 1977); on data without junk π comes to 0, and every trust to 1.

Ridge and trust are found in turns. The first turn expects medians of like cars, since junk pulls a
first ridge towards itself; later ones weigh rows by trust, tail and scale. No row is judged by a
ridge that knew its price. Two turns are enough where no price is doubted. Above 50,000 rows the
ridge learns from as many, and judges the others.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import scipy.sparse as sp

from carprice.arrays import Codes, Floats
from carprice.listings.believed import believed_rows
from carprice.listings.features import Features
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.model.normal_equations import NormalEquations, RidgeSolver, solve_with_folds
from carprice.threads import one_blas_thread

_FEWEST_ROWS: Final = 100
MOST_ROWS: Final = 50_000
"""Of more rows, so many are learned from; and so many are judged at a time."""
_FOLDS: Final = 5
_TURNS: Final = 4
_TURNS_WITHOUT_DOUBT: Final = 2
_NO_DOUBT: Final = 0.999
_STEPS: Final = 60
_FREEDOM: Final = 4
_T_HEIGHT: Final = 0.375
_QUARTILE: Final = 0.741  # of that distribution
_FIRST_SHARE: Final = 0.05
_PRIOR_ROWS: Final = 20
_SMALLEST_SCALE: Final = 0.02  # of ln(price)
_NARROWEST: Final = math.log(1000)
_FEWEST_OF_MAKE: Final = 5
_COMMON: Final = (5, 20)  # rows of a model
_KINDS: Final = len(_COMMON) + 2
_FEWEST_LIKE: Final = 7
_YEARS_ALIKE: Final = 3
_TAIL: Final = 0.005
_OLDEST: Final = 40
_PENALTY: Final = 30.0
_TEXTS: Final = {
    "make": 3.0,
    "model": 2.5,
    "model_powertrain": 0.4,
    "model_trim": 0.3,
    "model_variant": 0.2,
    "transmission": 2.0,
    "body": 2.0,
    "fuel": 2.0,
    "gear": 2.0,
    "drive": 2.0,
    "condition": 2.0,
    "seller": 2.0,
    "region": 1.0,
    "age": 2.0,
}
"""Texts whose values are columns of the ridge, and the scale of each."""
_BY_AGE: Final = {"make": 0.8, "model": 0.5, "fuel": 1.0}
"""Texts whose values have columns in proportion to age too."""


@dataclass(frozen=True)
class Scatter:
    """How ln(price) scatters around what is expected.

    Attributes
    ----------
    junk : π, the share of the prices that are junk.
    density : of junk, at any ln(price).
    scales : of Student's t-distribution, for each group of rows.
    """

    junk: float
    density: float
    scales: Floats

    @classmethod
    def fit(
        cls, residual: Floats, groups: Codes, weights: Floats, density: float, least: Floats
    ) -> Self:
        """Find π and the scales by EM; a group of few rows has nearly the scale of all.

        Parameters
        ----------
        least : the smallest scale of each group.
        """
        count, start = len(least), float(np.median(np.abs(residual))) / _QUARTILE
        found = cls(_FIRST_SHARE, density, np.maximum(start, least))
        for _ in range(_STEPS):
            trust = weights * found.trust(residual, groups)
            squares = np.bincount(groups, trust * found.tail(residual, groups) * residual**2, count)
            rows = np.bincount(groups, trust, count)
            overall = _PRIOR_ROWS * squares.sum() / rows.sum()
            scales = np.sqrt((squares + overall) / (rows + _PRIOR_ROWS))
            junk = max(1 - float(trust.sum() / weights.sum()), 0.0)
            found = cls(junk, density, np.maximum(scales, least))
        return found

    def trust(self, residual: Floats, groups: Codes) -> Floats:
        """Return the probability of each row that it is a car's price."""
        scale = self.scales[groups]
        fall = (1 + (residual / scale) ** 2 / _FREEDOM) ** (-(_FREEDOM + 1) / 2)
        price = (1 - self.junk) * _T_HEIGHT / scale * fall
        return np.asarray(price / (price + self.junk * self.density))

    def tail(self, residual: Floats, groups: Codes) -> Floats:
        """Return the weight of each row in the fit of a t-distribution: less, further out."""
        return np.asarray((_FREEDOM + 1) / (_FREEDOM + (residual / self.scales[groups]) ** 2))


class _Columns:
    """The columns of the ridge, as training rows define them."""

    def __init__(self, features: Features) -> None:
        self.limits: dict[str, tuple[float, float, float, float]] = {}
        for name, values in _numbers(features).items():
            known = values[~np.isnan(values)]
            if len(known):
                low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
                within = np.clip(known, low, high)
                deviation = float(within.std()) or 1.0
                self.limits[name] = float(low), float(high), float(within.mean()), deviation
        self.width = 1 + sum(1 for _ in self._dense(features))
        self.terms = {}
        for name, texts in _texts(features).items():
            for key in [(name, False), (name, True)][: 1 + (name in _BY_AGE)]:
                distinct = dict.fromkeys(texts)
                self.terms[key] = {t: self.width + place for place, t in enumerate(distinct)}
                self.width += len(distinct)

    def matrix(self, features: Features) -> sp.csr_matrix:
        """Return the rows of the ridge (n × width); what training did not have adds nothing."""
        every, texts = np.arange(len(features)), _texts(features)
        parts = [(every, np.zeros(len(every), dtype=np.intp), np.ones(len(every)))]
        age = np.zeros(len(every))
        for place, values in enumerate(self._dense(features), start=1):
            age = values if place == 1 else age
            parts.append((every, np.full(len(every), place), values))
        for (name, by_age), places in self.terms.items():
            columns = np.array([places.get(text, -1) for text in texts[name]], dtype=np.intp)
            rows = np.flatnonzero(columns >= 0)
            values = _BY_AGE[name] * age if by_age else np.full(len(every), _TEXTS[name])
            parts.append((rows, columns[rows], values[rows]))
        rows, columns, values = (np.concatenate(one) for one in zip(*parts, strict=True))
        return sp.csr_matrix((values, (rows, columns)), shape=(len(every), self.width))

    def _dense(self, features: Features) -> Iterator[Floats]:
        """Yield columns of numbers, in deviations from their mean; the first one is the age."""
        numbers, found = _numbers(features), {}
        for name, (low, high, mean, deviation) in self.limits.items():
            found[name] = np.nan_to_num((np.clip(numbers[name], low, high) - mean) / deviation)
        age = found["age"]
        yield from found.values()
        yield from (age**2, age**3)
        if "far" in found:
            yield age * found["far"]


def _numbers(features: Features) -> dict[str, Floats]:
    numbers = features.numbers
    logged = ("litres", "power_bhp", "fuel_economy", "road_tax", "new_price", "odometer")
    return {
        **{name: numbers[name] for name in ("age", "seats", "ownership", "feature_count")},
        **{name: np.log1p(numbers[name]) for name in logged},
        "far": np.sqrt(numbers["odometer"]),
    }


def _texts(features: Features) -> dict[str, Sequence[str]]:
    own = {name: features.texts[name] for name in _TEXTS if name != "age"}
    return {**own, "age": [*map(str, _years(features).tolist())]}


def _years(features: Features) -> Codes:
    return np.minimum(features.numbers["age"], _OLDEST).astype(np.intp)


@dataclass(frozen=True)
class PriceJudge:
    """Tells what like cars cost, and how far a price is believed.

    Attributes
    ----------
    scatter : how prices scatter around what is expected.
    rows : training rows of each make and each model.
    """

    columns: _Columns
    worth: Floats
    scatter: Scatter
    rows: Mapping[str, int]

    def judge(self, features: Features, log_price: Floats) -> "Judged":
        """Judge the prices of n listings that it did not learn from."""
        expected, trust = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), MOST_ROWS):
            rows = np.arange(start, min(start + MOST_ROWS, len(features)))
            some = features.take(rows)
            expected[rows] = self.columns.matrix(some) @ self.worth
            residual = log_price[rows] - expected[rows]
            trust[rows] = self.scatter.trust(residual, _groups(some, self.rows))
        return Judged(self, trust, expected)


@dataclass(frozen=True)
class Judged:
    """The prices of n rows, as a judge sees them.

    Attributes
    ----------
    judge : who judges others like them; None where they are too few for one.
    trust : how far each price is believed, 0 to 1.
    expected : ln(price) that other rows expect of each.
    """

    judge: PriceJudge | None
    trust: Floats
    expected: Floats

    @property
    def believed(self) -> Codes:
        """The rows that are taken for a car's price."""
        return believed_rows(self.trust)


def judge_prices(features: Features, log_price: Floats) -> Judged:
    """Judge n rows by each other, and learn to judge other ones; fewer than 100 are all believed.

    Each car counts once, however often it is listed.
    """
    return judge_rows(
        *(features.car_codes(), log_price, features.take),
        lambda judge: judge.judge(features, log_price),
    )


@one_blas_thread()
def judge_rows(
    codes: Codes,
    log_price: Floats,
    take: Callable[[Codes], Features],
    judge_all: Callable[[PriceJudge], Judged],
) -> Judged:
    """Judge n rows as :func:`judge_prices` does, wherever they are.

    Parameters
    ----------
    codes : the car of each row.
    take : returns the features of some rows.
    judge_all : has all rows judged by who learned from some; not called where these are all.
    """
    if len(np.unique(codes)) < _FEWEST_ROWS:
        return Judged(None, np.ones(len(codes)), log_price)
    random = np.random.default_rng(0)
    some = np.sort(random.permutation(len(codes))[:MOST_ROWS])
    own, target = take(some), log_price[some]
    folds = random.permutation(np.arange(codes.max() + 1) % _FOLDS)[codes[some]]
    rows, weights = Counter(own.texts["make"] + own.texts["model"]), own.car_weights()
    groups, columns = _groups(own, rows), _Columns(own)
    density = 1 / max(float(np.ptp(target)), _NARROWEST)
    least = np.full((len(AGE_BANDS), _KINDS), _SMALLEST_SCALE)
    # What nobody else's make is worth is open: its price is as believable as any of the market's.
    of_market = float(np.diff(np.quantile(target, [0.25, 0.75]))[0]) / 2 / _QUARTILE
    least[:, 0] = max(of_market, _SMALLEST_SCALE)
    expected = _medians(own, target)
    scatter = Scatter.fit(target - expected, groups, weights, density, least.ravel())
    matrix, factors = columns.matrix(own), np.full(columns.width, 1 / math.sqrt(_PENALTY))
    factors[0] = 1.0
    by_fold = [np.flatnonzero(folds == fold) for fold in range(_FOLDS)]
    order = None
    for turn in range(_TURNS):
        residual = target - expected
        trust = scatter.trust(residual, groups)
        if turn >= _TURNS_WITHOUT_DOUBT and trust.min() > _NO_DOUBT:
            break
        counts = weights * trust * scatter.tail(residual, groups)
        counts /= scatter.scales[groups] ** 2
        sums = [NormalEquations.of(matrix[each], target[each], counts[each]) for each in by_fold]
        solver = RidgeSolver(sum(sums[1:], start=sums[0]), order)
        order = solver.order
        worth, without = solve_with_folds(solver, sums, factors)
        for each, others in zip(by_fold, without, strict=True):
            expected[each] = matrix[each] @ others
        scatter = Scatter.fit(target - expected, groups, weights, density, least.ravel())
    judge = PriceJudge(columns, worth, scatter, rows)
    found = Judged(judge, np.empty(len(codes)), np.empty(len(codes)))
    if len(some) < len(codes):
        found = judge_all(judge)
    found.expected[some] = expected
    found.trust[some] = scatter.trust(target - expected, groups)
    return found


def _groups(features: Features, rows: Mapping[str, int]) -> Codes:
    """Return each row's group: its age band, and how many training rows make and model have."""
    of_make, of_model = (
        np.array([rows.get(name, 0) for name in features.texts[level]])
        for level in ("make", "model")
    )
    kinds = 1 + np.searchsorted(np.array(_COMMON), of_model, side="right")
    kinds[of_make < _FEWEST_OF_MAKE] = 0
    return np.asarray(age_bands(features.numbers["age"]) * _KINDS + kinds, dtype=np.intp)


def _medians(features: Features, log_price: Floats) -> Floats:
    """Return the median ln(price) of a row's model and age; of few such, of its make or of all."""
    ages = (_years(features) // _YEARS_ALIKE).tolist()
    expected = np.full(len(log_price), np.median(log_price))
    for texts in ([""] * len(ages), features.texts["make"], features.texts["model"]):
        rows: dict[tuple[str, int], list[int]] = {}
        for row, key in enumerate(zip(texts, ages, strict=True)):
            rows.setdefault(key, []).append(row)
        for own in rows.values():
            if len(own) >= _FEWEST_LIKE:
                expected[own] = np.median(log_price[own])
    return expected
