"""Fit the hedonic ridge chunk by chunk, with out-of-fold predictions from the same sums."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.isotonic import IsotonicRegression

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.keys import DetailKey
from carprice.model.blocks import BLOCKS, POWERTRAIN, Block, print_numbers
from carprice.model.encoder import Anchor
from carprice.model.hedonic import ENGINE, KM_KNOTS, LOGGED, USUAL_KM, Hedonic, printed
from carprice.model.normal_equations import NormalEquations, solve_with_folds

_CHUNK_ROWS: Final = 100_000
_OLDEST: Final = 40
_INTERCEPT_PENALTY: Final = 1e-9
_OFTEN_UNKNOWN: Final = 0.05
_LEAST_FALL_A_YEAR: Final = 0.02
_LEAST_FALL_A_KNOT: Final = 0.005
_AGE_BASES: Final = ("a", "a2", "a2_half", "a3", "a_so")
_KM_BASES: Final = ("so", "so2", "lo", "a_so")

Codes = npt.NDArray[np.intp]
Coefficients = Mapping[str, Mapping[str, float]]
"""Block name → term → what it adds to ln(price), per unit of the block's basis."""


def fit_hedonic(
    features: Features,
    log_price: Floats,
    folds: Codes,
    scales: Mapping[str, float],
    km_per_unit: float,
) -> tuple[Hedonic, Anchor]:
    """Fit on all rows; return the model and what the other folds' rows say of each row.

    Parameters
    ----------
    features : n rows, completed by :meth:`carprice.model.defaults.Defaults.complete`.
    log_price : their ln(price).
    folds : the fold of each row, from 0.
    scales : one for each key of :class:`carprice.settings.HedonicScales`.
    km_per_unit : kilometres in the market's distance unit.
    """
    design = _Design.learn(features, scales, km_per_unit)
    weight = age_weight(features.numbers["age"])
    count = int(folds.max()) + 1
    empty = sp.csr_matrix((0, design.columns))
    equations = [NormalEquations.of(empty, np.zeros(0), np.zeros(0)) for _ in range(count)]
    for rows, matrix in design.chunks():
        for fold in range(count):
            here = np.flatnonzero(folds[rows] == fold)
            equations[fold] = equations[fold] + NormalEquations.of(
                matrix[here], log_price[rows][here], weight[rows][here]
            )
    penalty = np.ones(design.columns)
    penalty[0] = _INTERCEPT_PENALTY
    solution, without = solve_with_folds(equations, penalty)
    columns = {"ridge": slice(None), "make": design.place("make"), "model": design.place("model")}
    held_out = {name: np.empty(len(features)) for name in columns}
    for rows, matrix in design.chunks():
        for name, own in columns.items():
            predictions = matrix[:, own] @ without[:, own].T
            held_out[name][rows] = predictions[np.arange(predictions.shape[0]), folds[rows]]
    hedonic = design.hedonic(solution)
    log_price = sum(design.corrections(hedonic).values(), held_out["ridge"])
    return hedonic, Anchor(log_price, held_out["make"], held_out["model"])


def age_weight(age: Floats) -> Floats:
    """Return the weight of a row: old cars' prices are noisier.

    Examples
    --------
    >>> age_weight(np.array([0.0, 7.0, 20.0])).round(2).tolist()
    [4.0, 1.0, 0.15]
    """
    return np.clip(np.exp(-1.16 * (age / 5 - 1.4)), 0.15, 4.0)


def texts_of(features: Features, oldest: int) -> dict[str, list[str]]:
    """Return the texts that blocks read, one value a row.

    Parameters
    ----------
    features : completed listings.
    oldest : age that all older cars are taken to have.
    """
    texts, values = features.texts, features.numbers
    age = [str(int(years)) for years in np.minimum(values["age"], oldest)]
    engines = zip(*(map(printed, values[name]) for name in ENGINE), strict=True)
    kinds = zip(texts["fuel"], texts["transmission"], texts["body"], strict=True)
    extent = [n / 8 for n in values["feature_count"]]
    return {
        **texts,
        "": [""] * len(features),
        "words": [DetailKey.read(text).detail for text in texts["model_variant"]],
        "age": age,
        "model_age": ["|".join(pair) for pair in zip(texts["model"], age, strict=True)],
        "kind": ["|".join(row) for row in kinds],
        "owners": [_owners(owners) for owners in values["ownership"].tolist()],
        "equipment": features.equipment,
        "extent": [print_numbers(many=many, none=float(many == 0)) for many in extent],
        "extent_a": [print_numbers(many=many) for many in extent],
        "fitness": [printed(years) for years in values["fitness_age"]],
        "model_engine": [
            "|".join((model, *row)) for model, row in zip(texts["model"], engines, strict=True)
        ],
        "engine": _engine_terms(values),
    }


def _owners(owners: float) -> str:
    if math.isnan(owners):
        return ""
    return print_numbers(owners=min(owners, 5.0), second=float(owners > 1), third=float(owners > 2))


def _engine_terms(values: Mapping[str, Floats]) -> list[str]:
    columns = {
        name: np.round(np.log(np.maximum(values[name], usual / 20) / usual), 3).tolist()
        for name, usual in LOGGED.items()
    }
    columns["seats"] = (np.clip(values["seats"], 2, 9) / 5 - 1).tolist()
    names = tuple(columns)
    return [
        print_numbers(**{name: v for name, v in zip(names, row, strict=True) if not math.isnan(v)})
        for row in zip(*columns.values(), strict=True)
    ]


def km_of(numbers: Mapping[str, Floats], km_per_unit: float) -> Floats:
    """Return distances in km within what the model tells apart; 50,000 where unknown."""
    distance = numbers["odometer"] * km_per_unit
    return np.clip(np.where(np.isnan(distance), USUAL_KM, distance), KM_KNOTS[0], KM_KNOTS[-1])


def bases_of(numbers: Mapping[str, Floats], km_per_unit: float, oldest: int) -> dict[str, Floats]:
    """Return the functions of age and distance that blocks are multiplied by.

    With age in years and distance in km: a = age/5 - 1.4, so = √(km/50000) - 1, lo = ln km - 10.8.
    """
    a = np.minimum(numbers["age"], oldest) / 5 - 1.4
    km = km_of(numbers, km_per_unit)
    so = np.sqrt(km / 50_000) - 1
    return {
        "one": np.ones_like(a),
        "a": a,
        "a2": a**2,
        "a2_half": 0.7 * a**2,
        "a3": a**3,
        "so": so,
        "so2": so**2,
        "lo": np.log(km) - 10.8,
        "a_so": a * so,
        "listed": numbers["listed"],
    }


@dataclass(frozen=True)
class _Column:
    """The columns of a block: its terms' positions, and their inverse document frequencies."""

    block: Block
    position: dict[str, int]
    idf: dict[str, float]

    @classmethod
    def learn(cls, block: Block, distinct: Sequence[str], rows: Codes) -> Self:
        """Give the terms of a block's distinct texts, each of so many rows, their positions."""
        held: Counter[str] = Counter()
        for text, count in zip(distinct, rows.tolist(), strict=True):
            for term, _ in block.terms(text):
                held[term] += count
        kept = sorted(term for term, count in held.items() if count >= block.min_rows)
        idf = {}
        if block.idf:
            total = 1 + int(rows.sum())
            idf = {term: math.log(total / (1 + held[term])) + 1 for term in kept}
        return cls(block, {term: place for place, term in enumerate(kept)}, idf)

    def matrix(self, distinct: Sequence[str]) -> sp.csr_matrix:
        """Return one row for each text."""
        rows = [self._row(text) for text in distinct]
        indices = [self.position[term] for row in rows for term, _ in row]
        values = [value for row in rows for _, value in row]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        return sp.csr_matrix((values, indices, starts), shape=(len(rows), len(self.position)))

    def _row(self, text: str) -> list[tuple[str, float]]:
        found = [(term, value) for term, value in self.block.terms(text) if term in self.position]
        if not self.idf:
            return found
        weights = [self.idf[term] for term, _ in found]
        length = math.sqrt(sum(weight**2 for weight in weights)) or 1.0
        return [(term, weight / length) for (term, _), weight in zip(found, weights, strict=True)]


@dataclass(frozen=True)
class _Design:
    """The sparse matrix of all blocks, made chunk by chunk; its first column is the intercept.

    Attributes
    ----------
    columns_of : one for each of :data:`carprice.model.blocks.BLOCKS`.
    by_text : the block's rows for its distinct texts.
    codes : which of these a listing's row is.
    """

    features: Features
    columns_of: tuple[_Column, ...]
    by_text: tuple[sp.csr_matrix, ...]
    codes: tuple[Codes, ...]
    bases: dict[str, Floats]
    scales: Mapping[str, float]
    km_per_unit: float
    oldest: int

    @classmethod
    def learn(cls, features: Features, scales: Mapping[str, float], km_per_unit: float) -> Self:
        age = features.numbers["age"]
        oldest = int(min(np.quantile(age, 0.995), _OLDEST))
        texts = texts_of(features, oldest)
        columns_of, by_text, codes = [], [], []
        known: dict[str, tuple[list[str], Codes]] = {}
        for block in BLOCKS:
            if block.text not in known:
                known[block.text] = _factorise(texts[block.text])
            distinct, code = known[block.text]
            column = _Column.learn(block, distinct, np.bincount(code, minlength=len(distinct)))
            columns_of.append(column)
            by_text.append(column.matrix(distinct))
            codes.append(code)
        bases = bases_of(features.numbers, km_per_unit, oldest)
        parts = (tuple(columns_of), tuple(by_text), tuple(codes))
        return cls(features, *parts, bases, scales, km_per_unit, oldest)

    @property
    def columns(self) -> int:
        return 1 + sum(len(column.position) for column in self.columns_of)

    def place(self, block: str) -> slice:
        """Return where the columns of a block stand."""
        start = 1
        for column in self.columns_of:
            stop = start + len(column.position)
            if column.block.name == block:
                return slice(start, stop)
            start = stop
        raise KeyError(block)

    def chunks(self) -> Iterator[tuple[slice, sp.csr_matrix]]:
        rows = len(self.features)
        for start in range(0, rows, _CHUNK_ROWS):
            chunk = slice(start, min(start + _CHUNK_ROWS, rows))
            parts = [sp.csr_matrix(np.ones((chunk.stop - start, 1)))]
            for column, by_text, code in zip(
                self.columns_of, self.by_text, self.codes, strict=True
            ):
                scale = self.scales[column.block.scale]
                factor = self.bases[column.block.basis][chunk] * scale
                parts.append(sp.diags(factor) @ by_text[code[chunk]])
            yield chunk, sp.hstack(parts, format="csr")

    def hedonic(self, solution: Floats) -> Hedonic:
        """Return the ridge of a solution, its price falling with age and distance."""
        coefficients = {}
        for column in self.columns_of:
            block = column.block
            own = solution[self.place(block.name)] * self.scales[block.scale]
            coefficients[block.name] = dict(zip(column.position, own.tolist(), strict=True))
        by_age, by_distance = self._falling_curves(coefficients)
        draft = Hedonic(
            intercept=float(solution[0]),
            coefficients=coefficients,
            idf={column.block.name: column.idf for column in self.columns_of if column.idf},
            by_age=by_age,
            by_distance=by_distance,
            km_per_unit=self.km_per_unit,
            typical={},
            spread={},
            usual={},
        )
        return self._with_what_is_typical(draft)

    def corrections(self, hedonic: Hedonic) -> dict[str, Floats]:
        """Return what makes the average car's price fall with age and distance, per row."""
        ages = self._ages
        km = km_of(self.features.numbers, self.km_per_unit)
        return {
            "age": hedonic.by_age[ages],
            "distance": np.interp(km, KM_KNOTS, hedonic.by_distance),
        }

    @property
    def _ages(self) -> Codes:
        return np.minimum(self.features.numbers["age"], self.oldest).astype(np.intp)

    def _worths(self, coefficients: Coefficients) -> Iterator[tuple[Block, Floats]]:
        """Yield blocks that have columns, and what each adds, per row and unit of its basis."""
        for column, by_text, code in zip(self.columns_of, self.by_text, self.codes, strict=True):
            own = np.array([*coefficients[column.block.name].values()])
            if len(own):
                yield column.block, (by_text @ own)[code]

    def _falling_curves(self, coefficients: Coefficients) -> tuple[Floats, Floats]:
        """Return the corrections that make the average car's price fall with age and distance."""
        knots = np.searchsorted(KM_KNOTS, km_of(self.features.numbers, self.km_per_unit))
        rows_by_age = np.bincount(self._ages, minlength=self.oldest + 1).astype(np.float64)
        rows_by_knot = np.bincount(knots, minlength=len(KM_KNOTS)).astype(np.float64)
        years = np.arange(self.oldest + 1, dtype=np.float64)
        by_age = self._mean_curve(coefficients, {"age": years}, _AGE_BASES)
        own = coefficients["age"]
        by_age += [own.get(str(int(age)), 0.0) for age in years]
        in_unit = KM_KNOTS / self.km_per_unit
        by_km = self._mean_curve(coefficients, {"odometer": in_unit}, _KM_BASES)
        return (
            _fall(by_age, rows_by_age, _LEAST_FALL_A_YEAR),
            _fall(by_km, rows_by_knot, _LEAST_FALL_A_KNOT),
        )

    def _mean_curve(
        self, coefficients: Coefficients, grid: Mapping[str, Floats], bases: Sequence[str]
    ) -> Floats:
        """Return the mean over rows of what some bases add, were all rows at each grid point."""
        (points,) = (len(values) for values in grid.values())
        average = {
            name: np.full(points, values[~np.isnan(values)].mean())
            for name, values in self.features.numbers.items()
            if not np.isnan(values).all()
        }
        on_grid = bases_of(
            {"odometer": np.full(points, np.nan), **average, **grid}, self.km_per_unit, self.oldest
        )
        curve = np.zeros(points)
        for block, worth in self._worths(coefficients):
            if block.basis in bases:
                curve += worth.mean() * on_grid[block.basis]
        return curve

    def _with_what_is_typical(self, draft: Hedonic) -> Hedonic:
        texts = self.features.texts
        factors: dict[str, Floats] = {}
        names: dict[str, Floats] = {}
        for block, worth in self._worths(draft.coefficients):
            if block.name in ("make", "model"):
                names[block.name] = worth
            added = worth * self.bases[block.basis]
            factors[block.factor] = factors.get(block.factor, 0.0) + added
        for factor, correction in self.corrections(draft).items():
            factors[factor] = factors[factor] + correction
        spread = {
            **_variance_within(texts["model"], factors),
            **_variance_within(texts["make"], {"model": names["model"]}),
            **_variance_within([""] * len(self.features), {"make": names["make"]}),
        }
        return replace(
            draft,
            typical={factor: float(worth.mean()) for factor, worth in factors.items()},
            spread=spread,
            usual=self._usual(names, factors),
        )

    def _usual(
        self, names: Mapping[str, Floats], factors: Mapping[str, Floats]
    ) -> dict[str, dict[str, float]]:
        """Return what is usual for a model, a make and all, for what was never seen."""
        texts = self.features.texts
        make, model, everywhere = texts["make"], texts["model"], [""] * len(self.features)
        usual = {
            "make": _means(names["make"], everywhere),
            "model": _means(names["model"], everywhere, make),
        }
        without = np.mean([text.endswith("|") for text in texts["model_variant"]])
        for factor in ("variant", POWERTRAIN):
            if factor in factors and not (factor == "variant" and without > _OFTEN_UNKNOWN):
                usual[factor] = _means(factors[factor], everywhere, make, model)
        return usual


def _fall(curve: Floats, rows: Floats, least: float) -> Floats:
    """Return what makes a curve fall by at least so much a point, by a weighted isotonic fit."""
    points = np.arange(len(curve))
    fall = least * points
    isotonic = IsotonicRegression(increasing=False)
    fitted = isotonic.fit(points, curve + fall, sample_weight=rows + 1e-3).predict(points)
    return np.asarray(fitted - fall - curve)


def _means(worth: Floats, *levels: Sequence[str]) -> dict[str, float]:
    """Return the mean by key, of rows that each have one key a level."""
    means: dict[str, float] = {}
    for keys in levels:
        names, codes = np.unique(np.array(keys), return_inverse=True)
        sums, rows = np.bincount(codes, weights=worth), np.bincount(codes)
        means.update(zip(names.tolist(), (sums / rows).tolist(), strict=True))
    return means


def _variance_within(keys: Sequence[str], worth: Mapping[str, Floats]) -> dict[str, float]:
    _, codes = _factorise(keys)
    rows = np.bincount(codes)
    variances = {}
    for factor, values in worth.items():
        mean = np.bincount(codes, weights=values) / rows
        variances[factor] = float(np.mean((values - mean[codes]) ** 2))
    return variances


def _factorise(texts: Sequence[str]) -> tuple[list[str], Codes]:
    position: dict[str, int] = {}
    codes = np.array([position.setdefault(text, len(position)) for text in texts], dtype=np.intp)
    return list(position), codes
