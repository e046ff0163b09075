"""Fit the hedonic ridge chunk by chunk, with out-of-fold predictions from the same sums."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from carprice.arrays import Codes, Each, Floats, coded, coded_together, picked
from carprice.listings.believed import counted
from carprice.listings.features import Features
from carprice.listings.keys import DetailKey, detail_key, has_detail
from carprice.model.block_scales import choose_scales, factors_of
from carprice.model.blocks import BLOCKS, POWERTRAIN, VARIANT, Block, print_numbers
from carprice.model.encoder import Anchor, Falling
from carprice.model.falling import falling_correction
from carprice.model.hedonic import (
    ENGINE,
    KM_KNOTS,
    LOGGED,
    NO_DISTANCE,
    SPEC,
    TAX,
    USUAL_KM,
    Hedonic,
    printed,
    quarters_before,
    terms_of,
)
from carprice.model.normal_equations import NormalEquations, RidgeSolver, solve_with_folds
from carprice.model.own_terms import own_scales, texts_of_own
from carprice.model.ridge_chunk import ChunkBlock, PricedChunk, RidgeChunk, sums_of, told_of
from carprice.model.sampling import sample_of
from carprice.model.tails import tail_weight
from carprice.model.worth import WORTHS, worth_of
from carprice.threads import in_threads, one_blas_thread

_CHUNK_ROWS: Final = 100_000
_MANY_ROWS: Final = 50_000
"""More rows than the former are summed by so many, to take less memory."""
_DRAFT_ROWS: Final = 100_000
"""Of more rows, so many tell the first ridge's coefficients, in as many folds as stand next."""
_DRAFT_FOLDS: Final = 2
_OLDEST: Final = 40
_OFTEN_UNKNOWN: Final = 0.05
_LEAST_FALL_A_YEAR: Final = 0.02  # of ln(price)
_ROUNDING: Final = 1e-6
_LEAST_FALL_A_KNOT: Final = 0.005  # of ln(price)
_AGE_BASES: Final = ("a", "a2", "a2_half", "a3", "a_so")
_KM_BASES: Final = ("so", "so2", "lo", "a_so")

Coefficients = Mapping[str, Mapping[str, float]]
"""Block name → term → what it adds to ln(price), per unit of the block's basis."""


@one_blas_thread()
def fit_hedonic(
    features: Features,
    log_price: Floats,
    folds: Codes,
    fixed: Mapping[str, float],
    km_per_unit: float,
    trust: Floats | None = None,
    each: Each = in_threads,
) -> tuple[Hedonic, Anchor]:
    """Fit on all rows; return the ridge and its out-of-fold predictions.

    A first ridge, of the scales to start with, tells which rows lie far from what others expect,
    and count for less: :mod:`carprice.model.tails`. Then each block has the scale that the rows
    make likely: :mod:`carprice.model.block_scales`.

    Each car counts once, however often it is listed.

    Parameters
    ----------
    features : n rows, completed by :meth:`carprice.model.car.CarReader.complete`.
    log_price : their ln(price).
    folds : the fold of each row, from 0.
    fixed : scales that are not chosen, by the block's name.
    km_per_unit : kilometres in the market's distance unit.
    trust : how far each price is believed, 0 to 1; 1 if None.
    each : what adds up chunks of rows.
    """
    believed = np.ones(len(features)) if trust is None else counted(trust)
    cars = features.car_weights() * believed
    design = _Design(features, km_per_unit, cars > 0, each)
    weight = age_weight(features.numbers["age"]) * cars
    start = {one.block.name: one.block.scale for one in design.columns}
    tails, order = _tails(design, log_price, folds, cars, believed, {**start, **fixed})
    every = np.arange(len(features), dtype=np.intp)
    sums = design.sums(log_price, weight * tails, folds, every)
    solver = RidgeSolver(sum(sums[1:], start=sums[0]), order)
    scales = choose_scales(solver, float(cars.sum()), design.slices, start, fixed)
    factors = factors_of(scales, design.slices, design.width)
    solution, by_fold = solve_with_folds(solver, sums, factors)
    held_out = design.held_out(by_fold, folds)
    hedonic, falling = design.hedonic(solution, scales, held_out - log_price, cars)
    corrected = sum(design.corrections(hedonic).values(), held_out)
    return hedonic, Anchor(corrected, design.worths(by_fold, folds), falling, tails)


def _tails(
    design: "_Design",
    log_price: Floats,
    folds: Codes,
    cars: Floats,
    trust: Floats,
    scales: Mapping[str, float],
) -> tuple[Floats, Codes | None]:
    """Return how much rows count by how far they lie off, and the columns' order if all tell it.

    Of many rows, a sample tells what others expect.
    """
    features, every = design.features, len(folds)
    some = sample_of(every, _DRAFT_ROWS)
    is_sample = len(some) < every
    if is_sample:
        folds = folds % _DRAFT_FOLDS
    weight = age_weight(features.numbers["age"]) * cars
    sums = design.sums(log_price, weight, folds, some)
    draft = RidgeSolver(sum(sums[1:], start=sums[0]))
    factors = factors_of(scales, design.slices, design.width)
    if is_sample:  # without one half is the other half
        halves = in_threads(
            lambda half: RidgeSolver(half, draft.order).at(factors).solution(), reversed(sums)
        )
        by_fold = factors * np.array([*halves])
    else:
        _, by_fold = solve_with_folds(draft, sums, factors)
    missed = log_price - design.held_out(by_fold, folds)
    models = design.codes["model"]
    cars_of = np.bincount(models[some], cars[some], int(models.max()) + 1)
    of_model = np.asarray(cars_of[models], dtype=np.float64)
    tails = tail_weight(missed, features.numbers["age"], of_model, cars, trust)
    return tails, draft.order


def age_weight(age: Floats) -> Floats:
    """Return the weight of a row, 1 at 7 years: old cars' prices are noisier.

    Examples
    --------
    >>> age_weight(np.array([0.0, 7.0, 20.0])).round(2).tolist()
    [3.3, 1.0, 0.2]
    """
    return np.clip(np.exp(1.4 - age / 5), 0.2, 3.3)


def texts_of(features: Features, oldest: int) -> dict[str, "Texts"]:
    """Return the texts of :attr:`carprice.model.blocks.Block.text` of n listings.

    Parameters
    ----------
    features : n completed listings.
    oldest : age in years to which older cars are clipped.
    """
    values, every = features.numbers, len(features)
    own = {name: Texts(*coded(texts)) for name, texts in features.texts.items()}
    numbers = {
        name: _numbers(values[name])
        for name in {*LOGGED, *ENGINE, *SPEC, *TAX, "seats", "ownership", "listed", "fitness_age"}
    }
    age = _numbers(np.minimum(values["age"], oldest).astype(np.intp))
    model, fuel, transmission = (own[name] for name in ("model", "fuel", "transmission"))
    extent = _numbers(values["feature_count"] / 8)
    logged = (*LOGGED, "seats")

    def printed_of(names: Sequence[str]) -> list[Texts]:
        return [numbers[name].joined(printed) for name in names]

    spec, tax = printed_of(SPEC), printed_of(TAX)
    model_spec = model.joined(
        lambda of, kind, *row: detail_key(of, *row, kind) if any(row) else "", fuel, *spec
    )
    years = age.joined(str)
    return {
        **own,
        "": Texts([""], np.zeros(every, dtype=np.intp)),
        "words": own["model_variant"].joined(lambda text: DetailKey.read(text).detail),
        "age": years,
        "model_age": model.joined(detail_key, years),
        "kind": fuel.joined(lambda *row: "|".join(row), transmission, own["body"]),
        "owners": numbers["ownership"].joined(partial(_print_terms, "ownership")),
        "equipment": Texts(*coded(features.equipment)),
        "extent": extent.joined(lambda many: print_numbers(many=many, none=float(many == 0))),
        "extent_a": extent.joined(lambda many: print_numbers(many=many)),
        "quarter": numbers["listed"].joined(lambda years: str(quarters_before(years))),
        "no_distance": _numbers(np.isnan(values["odometer"]).astype(np.float64)).joined(
            lambda one: print_numbers(**{NO_DISTANCE: one})
        ),
        "own": Texts(*coded(texts_of_own(features))),
        "fitness": printed_of(["fitness_age"])[0],
        "model_engine": model.joined(detail_key, *printed_of(ENGINE)),
        "model_spec": model_spec,
        "model_spec_age": model_spec.joined(
            lambda of, *row: detail_key(of, *row) if of else "", years
        ),
        "model_tax": model.joined(lambda of, *row: detail_key(of, *row) if row[0] else "", *tax),
        "make_powertrain": own["make"].joined(detail_key, fuel, transmission),
        "engine": numbers[logged[0]].joined(
            lambda *row: ";".join(filter(None, map(_print_terms, logged, row))),
            *(numbers[name] for name in logged[1:]),
        ),
    }


@dataclass(frozen=True)
class Texts:
    """One value for each of n listings: the different ones, in their first order, and the codes."""

    different: list[Any]
    codes: Codes

    def small(self) -> "Texts":
        """Return the same with codes of as few bytes as they need."""
        kind = np.min_scalar_type(-len(self.different))
        return Texts(self.different, self.codes.astype(kind))

    def joined(self, write: Callable[..., str], *others: "Texts") -> "Texts":
        """Return what is written of this value and of others."""
        parts = (self, *others)
        first, codes = coded_together(*(part.codes for part in parts))
        rows = zip(*(picked(part.different, part.codes[first]) for part in parts), strict=True)
        different, places = coded([write(*row) for row in rows])
        return Texts(different, places[codes])


def _numbers(values: npt.NDArray[Any]) -> Texts:
    different, codes = np.unique(values, return_inverse=True)
    return Texts(different.tolist(), codes)


@lru_cache(maxsize=4096)
def _print_terms(name: str, number: float) -> str:
    return "" if math.isnan(number) else print_numbers(**terms_of(name, number))


def km_of(numbers: Mapping[str, Floats], km_per_unit: float) -> Floats:
    """Return odometers in km, clipped to the knots; :data:`USUAL_KM` where unknown."""
    km = numbers["odometer"] * km_per_unit
    return np.clip(np.where(np.isnan(km), USUAL_KM, km), KM_KNOTS[0], KM_KNOTS[-1])


def bases_of(numbers: Mapping[str, Floats], km_per_unit: float, oldest: int) -> dict[str, Floats]:
    """Return the bases: the functions of age and distance that blocks are multiplied by.

    With age in years and distance in km: a = age/5 - 1.4, so = √(km/50000) - 1, lo = ln km - 10.8.
    ``a2_half`` is 0.7 a²: about half the prior variance of a².
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
    }


class _BlockColumns:
    """The columns of a block.

    Attributes
    ----------
    terms : one for each column, sorted.
    idf : inverse document frequency of each term, if the block weighs them.
    by_text : distinct texts × terms: the values of each text's terms.
    codes : position of each listing's text among the distinct ones.
    """

    def __init__(
        self, block: Block, distinct: Sequence[str], codes: Codes, weights: Floats
    ) -> None:
        cars_with: dict[str, float] = defaultdict(float)
        for text, count in zip(distinct, np.bincount(codes, weights).tolist(), strict=True):
            for term, _ in block.terms(text):
                cars_with[term] += count
        self.block, self.codes = block, codes
        least = block.min_rows - _ROUNDING
        self.terms = sorted(term for term, count in cars_with.items() if count >= least)
        self.idf = {}
        if block.idf:
            cars = 1 + weights.sum()
            self.idf = {term: math.log(cars / (1 + cars_with[term])) + 1 for term in self.terms}
        position = {term: place for place, term in enumerate(self.terms)}
        indices, values, ends = [], [], [0]
        for text in distinct:
            found = [(term, value) for term, value in block.terms(text) if term in position]
            if block.idf:
                length = math.sqrt(sum(self.idf[term] ** 2 for term, _ in found)) or 1.0
                found = [(term, self.idf[term] / length) for term, _ in found]
            indices += [position[term] for term, _ in found]
            values += [value for _, value in found]
            ends.append(len(indices))
        shape = (len(distinct), len(self.terms))
        self.by_text = sp.csr_matrix((values, indices, ends), shape=shape)

    def worth(self, coefficients: Coefficients) -> Floats:
        """Return what the block adds to each row's ln(price), per unit of its basis."""
        own = coefficients[self.block.name]
        worth: Floats = (self.by_text @ np.array([own[term] for term in self.terms]))[self.codes]
        return worth


class _Design:
    """The sparse matrix of all blocks, made chunk by chunk; its first column is the intercept.

    Attributes
    ----------
    columns : one for each of :data:`carprice.model.blocks.BLOCKS`, of what rows that count have.
    slices : block name → its columns.
    codes : name of a text → the place of each listing's text among the different ones.
    oldest : age in years to which older cars are clipped.
    """

    def __init__(
        self,
        features: Features,
        km_per_unit: float,
        counts: npt.NDArray[np.bool_] | None = None,
        each: Each = in_threads,
    ) -> None:
        self.features, self.km_per_unit, self._each = features, km_per_unit, each
        age = features.numbers["age"]
        self.oldest = int(min(np.quantile(age, 0.995), _OLDEST))
        self._ages = np.minimum(age, self.oldest).astype(np.intp)
        self._km = km_of(features.numbers, km_per_unit)
        self._has_distance = ~np.isnan(features.numbers["odometer"])
        self.bases = bases_of(features.numbers, km_per_unit, self.oldest)
        texts = {name: one.small() for name, one in texts_of(features, self.oldest).items()}
        self.codes = {name: one.codes for name, one in texts.items()}
        weights = features.car_weights() * (1.0 if counts is None else counts)
        self.columns = [
            _BlockColumns(block, texts[block.text].different, texts[block.text].codes, weights)
            for block in BLOCKS
        ]
        self.slices, self.width = {}, 1
        for one in self.columns:
            stop = self.width + len(one.terms)
            self.slices[one.block.name] = slice(self.width, stop)
            self.width = stop

    def chunks(self, rows: Codes) -> Iterator[Codes]:
        """Yield rows chunk by chunk; of more than one chunk, a model's rows stand together.

        Rows of a model share their columns: their sums have fewer, and are had in less time.
        """
        size = len(rows)
        if size > _CHUNK_ROWS:
            rows, size = rows[np.argsort(self.codes["model"][rows], kind="stable")], _MANY_ROWS
        yield from (rows[at : at + size] for at in range(0, len(rows), max(size, 1)))

    def matrix(self, rows: Codes) -> sp.csr_matrix:
        """Return the columns of some rows."""
        return self._chunk(rows, []).matrix()

    def _chunk(self, rows: Codes, folds: Sequence[slice]) -> RidgeChunk:
        """Return some rows alone."""
        texts = {}
        for each in self.columns:
            if each.block.text not in texts:
                texts[each.block.text] = _renumbered(each.codes[rows], each.by_text.shape[0])
        return RidgeChunk(
            [
                ChunkBlock(
                    each.block.text, each.block.basis, each.by_text[texts[each.block.text][0]]
                )
                for each in self.columns
            ],
            {name: codes for name, (_, codes) in texts.items()},
            {name: values[rows] for name, values in self.bases.items()},
            folds,
            len(self.features) > _CHUNK_ROWS,
        )

    def sums(
        self, log_price: Floats, weight: Floats, folds: Codes, rows: Codes
    ) -> list[NormalEquations]:
        """Return the normal equations of each fold among some rows."""
        count = int(folds.max()) + 1

        def chunks() -> Iterator[PricedChunk]:
            for some in self.chunks(rows):
                ordered, parts = _by_fold(some, folds, count)
                chunk = self._chunk(ordered, parts)
                yield PricedChunk(chunk, log_price[ordered], weight[ordered])

        sums = [NormalEquations.none(self.width)] * count
        for found in self._each(sums_of, chunks()):
            for fold, own in enumerate(found):  # one by one: they take much memory
                sums[fold] += own
        return sums

    def held_out(self, by_fold: Floats, folds: Codes) -> Floats:
        """Return the ln(price) of each row by the ridge (folds × columns) without its fold."""
        places = list[Codes]()

        def chunks() -> Iterator[RidgeChunk]:
            for some in self.chunks(np.arange(len(folds))):
                ordered, parts = _by_fold(some, folds, len(by_fold))
                places.append(ordered)
                yield self._chunk(ordered, parts)

        found = np.empty(len(folds))
        for place, own in enumerate(self._each(told_of, chunks(), by_fold)):
            found[places[place]] = own
        return found

    def worths(self, by_fold: Floats, folds: Codes) -> dict[str, Floats]:
        """Return the :data:`carprice.model.worth.WORTHS` of each row, by the other folds' ridge."""
        worths = {name: np.zeros(len(folds)) for name in WORTHS}
        for each in self.columns:
            if (name := worth_of(each.block)) and each.terms:
                own = by_fold[:, self.slices[each.block.name]]
                worths[name] += (each.by_text @ own.T)[each.codes, folds]
        return worths

    def hedonic(
        self, solution: Floats, scales: Mapping[str, float], residual: Floats, cars: Floats
    ) -> tuple[Hedonic, Falling]:
        """Return the ridge of a solution, with corrections and statistics of the training rows.

        Parameters
        ----------
        scales : of the blocks.
        residual : out-of-fold ln(price) minus the known one of each row, without corrections.
        cars : what each row counts, one part of its car.

        Returns
        -------
        tuple
            The ridge, and where its corrections make prices fall.
        """
        coefficients = {}
        for each in self.columns:
            name = each.block.name
            own = solution[self.slices[name]]
            coefficients[name] = dict(zip(each.terms, own.tolist(), strict=True))
        by_age, by_distance, falling = self._falling_corrections(coefficients, residual, cars)
        if coefficients["no_distance"]:  # such cars have no distance to be corrected for
            at_usual = np.interp(USUAL_KM, KM_KNOTS, by_distance)
            coefficients["no_distance"][NO_DISTANCE] -= float(at_usual)
        draft = Hedonic(
            intercept=float(solution[0]),
            coefficients=coefficients,
            idf={each.block.name: each.idf for each in self.columns if each.idf},
            by_age=by_age.tolist(),
            by_distance=by_distance.tolist(),
            km_per_unit=self.km_per_unit,
            typical={},
            spread={},
            usual={},
            own=own_scales(self.features),
            scales=dict(scales),
        )
        return self._with_statistics(draft), falling

    def corrections(self, hedonic: Hedonic) -> dict[str, Floats]:
        """Return the corrections of each row's ln(price) for age and for distance."""
        return {
            "age": np.array(hedonic.by_age)[self._ages],
            "distance": self._has_distance * np.interp(self._km, KM_KNOTS, hedonic.by_distance),
        }

    def _falling_corrections(
        self, coefficients: Coefficients, residual: Floats, cars: Floats
    ) -> tuple[Floats, Floats, Falling]:
        """Return the corrections by year of age and by knot, and where prices fall with them."""
        years, own = np.arange(self.oldest + 1), coefficients["age"]
        by_age = self._mean_curve(coefficients, _AGE_BASES, age=years.astype(np.float64))
        by_age += [own.get(str(year), 0.0) for year in years]
        known = self._has_distance
        for_age, age_limits = falling_correction(
            by_age, self._ages, residual, cars, _LEAST_FALL_A_YEAR
        )
        distances = KM_KNOTS / self.km_per_unit
        for_km, knot_limits = falling_correction(
            self._mean_curve(coefficients, _KM_BASES, odometer=distances),
            np.searchsorted(KM_KNOTS, self._km)[known],
            (residual + for_age[self._ages])[known],
            cars[known],
            _LEAST_FALL_A_KNOT,
        )
        falling = {}
        for name, grid, (start, stop) in (
            ("age", years, age_limits),
            ("odometer", distances, knot_limits),
        ):
            values, last = self.features.numbers[name], len(grid) - 1
            if (start, stop) != (0, last):
                least = grid[start] if start else np.nanmin(values)
                most = grid[stop] if stop < last else np.nanmax(values)
                falling[name] = (float(least), float(most))
        return for_age, for_km, falling

    def _mean_curve(
        self, coefficients: Coefficients, bases: Sequence[str], **grid: Floats
    ) -> Floats:
        """Return what bases add to ln(price) on average, at each grid point for all rows."""
        average = {
            name: np.array(values[~np.isnan(values)].mean())
            for name, values in self.features.numbers.items()
            if not np.isnan(values).all()
        }
        numbers = {"odometer": np.array(np.nan), **average, **grid}
        on_grid = bases_of(numbers, self.km_per_unit, self.oldest)
        curve = np.zeros(len(next(iter(grid.values()))))
        for each in self.columns:
            if each.terms and each.block.basis in bases:
                curve += each.worth(coefficients).mean() * on_grid[each.block.basis]
        return curve

    def _with_statistics(self, draft: Hedonic) -> Hedonic:
        texts = self.features.texts
        make, model, everywhere = texts["make"], texts["model"], [""] * len(self.features)
        names: dict[str, Floats] = {}
        factors: dict[str, Floats] = {}
        for each in filter(lambda each: each.terms, self.columns):
            block, worth = each.block, each.worth(draft.coefficients)
            if block.name in ("make", "model"):
                names[block.name] = worth
            added = worth * self.bases[block.basis]
            factors[block.factor] = factors.get(block.factor, 0.0) + added
        for factor, correction in self.corrections(draft).items():
            factors[factor] = factors[factor] + correction
        usual = {
            "make": _means(names["make"], everywhere),
            "model": _means(names["model"], everywhere, make),
        }
        variants, codes = coded(texts["model_variant"])
        no_variant = np.mean(np.array([not has_detail(text) for text in variants])[codes])
        for factor in (VARIANT, POWERTRAIN):
            if factor in factors and not (factor == VARIANT and no_variant > _OFTEN_UNKNOWN):
                usual[factor] = _means(factors[factor], everywhere, make, model)
        return replace(
            draft,
            typical={factor: float(worth.mean()) for factor, worth in factors.items()},
            spread={
                **_variances_within(model, factors),
                **_variances_within(make, {"model": names["model"]}),
                **_variances_within(everywhere, {"make": names["make"]}),
            },
            usual=usual,
        )


def _by_fold(rows: Codes, folds: Codes, count: int) -> tuple[Codes, list[slice]]:
    """Return rows by their folds, and where each fold stands among them."""
    ordered = rows[np.argsort(folds[rows], kind="stable")]
    ends = np.bincount(folds[rows], minlength=count).cumsum().tolist()
    return ordered, [slice(*ends) for ends in pairwise([0, *ends])]


def _renumbered(codes: Codes, count: int) -> tuple[Codes, Codes]:
    """Return those of so many codes that are there, in order, and the place of each among them."""
    is_there = np.zeros(count, dtype=np.bool_)
    is_there[codes] = True
    there = np.flatnonzero(is_there)
    places = np.empty(count, dtype=np.min_scalar_type(len(there)))
    places[there] = np.arange(len(there))
    return there, places[codes]


def _means(worth: Floats, *levels: Sequence[str]) -> dict[str, float]:
    """Return the mean of the rows of each key; a row has one key in each of the levels."""
    means: dict[str, float] = {}
    for keys in levels:
        names, codes = coded(keys)
        sums, rows = np.bincount(codes, weights=worth), np.bincount(codes)
        means.update(zip(names, (sums / rows).tolist(), strict=True))
    return means


def _variances_within(keys: Sequence[str], worths: Mapping[str, Floats]) -> dict[str, float]:
    _, codes = coded(keys)
    rows = np.bincount(codes)
    variances = {}
    for factor, worth in worths.items():
        means = np.bincount(codes, weights=worth) / rows
        variances[factor] = float(np.mean((worth - means[codes]) ** 2))
    return variances
