"""PriceModel: fit, predict, save, load. The one object behind the service and the pipeline."""

import datetime
import importlib.metadata
import json
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from carprice.arrays import Codes, Columns, Each, Floats, Progress, in_turn, quiet
from carprice.errors import CorruptModelError
from carprice.listings import features as feature_code
from carprice.listings.believed import believed_rows, counted
from carprice.listings.features import Features, Reading, listings_of
from carprice.listings.market import Market
from carprice.listings.problems import refuse_wrong
from carprice.listings.spelling import in_usual_width
from carprice.metrics import price_metrics, range_metrics
from carprice.model.booster import Booster, cross_fit, fit_all
from carprice.model.car import CarReader
from carprice.model.correction import FILE as CORRECTION
from carprice.model.correction import Correction
from carprice.model.deal_limits import DealLimits
from carprice.model.defaults import Defaults
from carprice.model.encoder import Encoder, Matrix, TreeRows
from carprice.model.explanation import Explanation
from carprice.model.hedonic import Hedonic
from carprice.model.intervals import ConformalRanges
from carprice.model.known_values import KnownValues
from carprice.model.learned import LearnedFrom
from carprice.model.listing_store import ListingStore
from carprice.model.neighbours import Neighbours
from carprice.model.pricer import Pricer, Prices
from carprice.model.reference import Reference
from carprice.model.sampling import sample_of
from carprice.model.segments import Segments
from carprice.model.stored import check_part
from carprice.model.support import Support
from carprice.model.vocabulary import Vocabulary
from carprice.model.worth import RidgeLookups
from carprice.model_folder import (
    MANIFEST,
    MORE_PARTS,
    PARTS,
    ModelFiles,
    read_files,
    write_folder,
)
from carprice.schema import DEFAULT_CONFIDENCE, MODEL_NAMES, own_of
from carprice.threads import beside, in_threads

if TYPE_CHECKING:
    from carprice.settings import TrainSettings

_LIBRARIES: Final = ("numpy", "onnxruntime", "scipy", "xgboost", "xgboost-cpu", "onnxmltools")
_MOST_CROSS_FITTED: Final = 100_000
"""Of fewer rows, trees without each fold choose how many trees there are; all teach these."""
_CALIBRATION_ROWS: Final = 50_000
"""Of more than the former, so many choose, calibrate the ranges, and teach no tree."""
_TREE_ROWS: Final = 150_000
"""Of more rows, so many are those and the ones that teach the trees; all teach the ridge."""
_MOST_HELD_OUT: Final = 1_500
_SMALLEST_RESIDUAL: Final = 0.01
_RATIOS: Final = ("power_bhp", "fuel_economy", "new_price")
_SCALE_TREES: Final = {
    "n_estimators": 150,
    "max_depth": 3,
    "learning_rate": 0.05,
    "min_child_weight": 30,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
}
_CONFIDENCE, _CURRENCY, _DIGEST = MODEL_NAMES


@dataclass(frozen=True)
class PriceModel:
    """A fitted model: hedonic ridge, two ensembles of trees and conformal ranges.

    Attributes
    ----------
    scale : trees for the logarithm of a residual's expected size.
    support : ages, distances and prices that training had of each kind of car.
    trained_on : smallest and largest value of each number in training.
    importance : each booster column's share of the total gain.
    metrics : cross-validated figures of the training rows.
    usual_ranges : the same limits, but that a few far-off values do not move them; empty for
        models that were trained before these were kept.
    direct_share : of the direct trees in ln(price), see :mod:`carprice.model.blend`; 0 for models
        of before.
    held_out : cross-validated prices of the training cars, one a car, of its first listing whose
        price is believed, in the order of their first listings; None above 1,500 cars, whose test
        cars are enough to measure by.
    segments : cross-validated errors by kind of car and age band; none in models of before.
    deal : how asking prices are judged; None for models of before, which judge none.
    learned : the cars of the training rows, whose asking prices are not judged.
    listings : a listing of each training car, to compare others with; None where they may not be
        shown, and in models of before.
    reference : what training was like, for whoever looks at the model in use; None in models of
        before.
    correction : what keeps level and ranges near the market of now; None where there is none.
    libraries : versions of the libraries that trained it, as its folder tells; empty before.
    digest : names the folder the model was saved to or loaded from; empty before.
    """

    market: Market
    hedonic: Hedonic
    defaults: Defaults
    encoder: Encoder
    booster: Booster
    scale: Booster
    ranges: ConformalRanges
    trained_on: dict[str, tuple[float, float]]
    importance: dict[str, float]
    metrics: dict[str, float]
    support: Support
    usual_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    direct_share: float = 0.0
    held_out: Prices | None = field(default=None, compare=False)
    segments: Segments = field(default_factory=Segments)
    deal: DealLimits | None = None
    learned: LearnedFrom | None = field(default=None, compare=False)
    listings: ListingStore | None = field(default=None, compare=False)
    reference: Reference | None = None
    correction: Correction | None = None
    libraries: dict[str, str] = field(default_factory=dict, compare=False)
    digest: str = field(default="", compare=False)

    @classmethod
    def fit(
        cls,
        features: Features,
        log_price: Floats,
        market: Market,
        settings: "TrainSettings",
        progress: Progress = quiet,
        trust: Floats | None = None,
        each: Each | None = None,
    ) -> Self:
        """Fit on n parsed listings and their ln(price in the market's currency).

        Each car counts once, however often it is listed, and as far as its price is believed; one
        that is rather not believed does not count.

        Parameters
        ----------
        trust : how far each price is believed, 0 to 1; if None, as
            :func:`carprice.model.trust.judge_prices` finds it.
        each : a cluster's, to add up the ridge's rows and to fit trees there; None to do it here.
        """
        from carprice.model.blend import TreeData, fit_trees
        from carprice.model.hedonic_fit import fit_hedonic
        from carprice.model.trust import judge_prices

        if trust is None:
            progress("prices to believe")
            trust = judge_prices(features, log_price).trust
        trust = counted(trust)
        progress("hedonic ridge")
        defaults = Defaults.fit(features)
        cars = CarReader(defaults)
        complete = cars.complete(features)
        seed = settings.seed
        assignment = _assign_folds(features.car_codes(), settings.folds, seed)
        fixed = settings.hedonic.scales
        hedonic, anchor = fit_hedonic(
            *(complete, log_price, assignment, fixed, market.km_per_unit, trust),
            each or in_threads,
        )
        first, believed = features.first_of_each_car(trust), believed_rows(trust)
        counting = features.take(believed)
        # None of it needs the trees, beside which it takes what they leave of the cores.
        cars_told = beside(
            lambda: (
                ListingStore.fit(features, log_price, trust, cars, RidgeLookups(hedonic))
                if settings.comparables
                else None,
                LearnedFrom.of(counting, market, KnownValues(hedonic)),
            )
        )
        encoder = Encoder.fit(complete.take(first), anchor.falling)
        # What trees and ranges learn from: of many rows, a sample.
        used = sample_of(len(log_price), _TREE_ROWS, seed)
        of_trees, known, asked = features.take(used), log_price[used], anchor.take(used)
        matrix = TreeRows(encoder).training_matrix(complete.take(used), asked)
        are_many = len(used) > _MOST_CROSS_FITTED
        some = sample_of(len(used), _CALIBRATION_ROWS if are_many else len(used), seed)
        every = features.car_weights()[used] * trust[used]
        data = TreeData(matrix, known, asked.log_price, every, asked.tails, assignment[used])
        others, parts = None, data.tree_folds[some]
        if are_many:
            codes, parts = of_trees.car_codes(), assignment[used][some] % 2
            others = np.flatnonzero(~np.isin(codes, codes[some]))
        start = hedonic.start
        blend = fit_trees(data, some, others, start, encoder, settings, progress, each)
        weights = every[some]
        progress("ranges")
        missed = known[some] - blend.held_out
        scale, local = _fit_scale(matrix[some], missed, weights, parts, settings, each)
        some = used[some]
        price, age = np.exp(log_price), features.numbers["age"][some]
        sure = believed_rows(trust[some])
        scores = (missed, np.exp(local), age, weights)
        ends = ConformalRanges.held_out(*scores, parts)
        guess = Prices(*(np.exp(log_price[some] - missed + end) for end in (0.0, *ends)))
        is_small = len(first) <= _MOST_HELD_OUT and len(some) == len(log_price)
        measured = features.take(some[sure])
        once = measured.first_of_each_car()
        listings, learned = cars_told.result()
        return cls(
            market=market,
            hedonic=hedonic,
            defaults=defaults,
            encoder=encoder,
            booster=blend.booster,
            direct_share=blend.share,
            scale=scale,
            ranges=ConformalRanges.fit(*scores),
            trained_on={
                name: (float(np.nanmin(values)), float(np.nanmax(values)))
                for name, values in features.numbers.items()
                if not np.isnan(values).all()
            }
            | {"price": (float(price[believed].min()), float(price[believed].max()))},
            importance=blend.importance,
            metrics={
                **price_metrics(price[some][sure], guess.price[sure]),
                **range_metrics(
                    price[some][sure], guess.price[sure], guess.low[sure], guess.high[sure]
                ),
            },
            support=Support.fit(counting, log_price[believed]),
            usual_ranges={
                name: usual_range(values[~np.isnan(values)], is_ratio=name in _RATIOS)
                for name, values in features.numbers.items()
                if not np.isnan(values).all()
            },
            held_out=guess.take(first) if is_small else None,
            segments=Segments.fit(measured, price[some][sure], guess.price[sure]),
            deal=DealLimits.of(settings.deal, counting.numbers["age"], price[believed]),
            learned=learned,
            listings=listings,
            reference=Reference.fit(
                measured.take(once),
                log_price[some][sure][once],
                guess.take(sure).take(once),
                market,
            ),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what was fitted; the look-ups made of it are made again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The makes, models and variants that training had."""
        return Vocabulary.of(self.hedonic)

    @cached_property
    def known_values(self) -> KnownValues:
        """The values of categories and equipment that training had."""
        return KnownValues(self.hedonic)

    @cached_property
    def cars(self) -> int:
        """The number of cars that training had."""
        return sum(self.encoder.rows["model"].values())

    @property
    def learned_to(self) -> datetime.date:
        """The day of the newest listing that it learned from; the valuation date without dates."""
        _, latest = self.trained_on.get("listed", (0.0, 0.0))
        return self.market.valuation_date + datetime.timedelta(days=round(365.25 * latest))

    @property
    def own(self) -> tuple[str, ...]:
        """The fields of the market's own columns."""
        return own_of(self.hedonic.own)

    @property
    def reading(self) -> Reading:
        """How listings are read: what training did not have counts as missing."""
        known = self.known_values
        return Reading(known.name_of, known.equipment_of, self.trained_on.keys(), self.own)

    @property
    def knows_variants(self) -> bool:
        """Whether training had variants; without any, one that is given says nothing."""
        return bool(self.hedonic.coefficients["word"])

    def parse(self, columns: Columns) -> Features:
        """Return the features of listings given by column."""
        if not self.knows_variants:
            columns = {field: values for field, values in columns.items() if field != "variant"}
        day, unit = self.market.valuation_date, self.market.distance_unit
        return feature_code.parse(columns, day, unit, self.reading)

    def content(self, confidence: float) -> dict[str, Any]:
        """Return what JSON says beside all prices of the model, by ``schema.MODEL_NAMES``."""
        return {_CONFIDENCE: confidence, _CURRENCY: self.market.currency, _DIGEST: self.digest}

    @cached_property
    def pricer(self) -> Pricer:
        """What prices, values and explains listings one by one or together."""
        return Pricer(self)

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """What finds the training cars that are like another; None where none are kept."""
        return None if self.listings is None else Neighbours(self.listings, self.pricer)

    def predict(self, columns: Columns, confidence: float = DEFAULT_CONFIDENCE) -> Prices:
        """Price listings given by column; a confidence outside 0.5–0.99 is a ValueError.

        A number outside of what :class:`carprice.schema.Listing` allows is an InputError.
        """
        refuse_wrong(columns, self.own)
        return self.pricer.prices(listings_of(columns), confidence)

    def predict_features(
        self, features: Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price parsed listings."""
        return self.pricer.prices(features, confidence)

    def explain(self, columns: Columns) -> list[Explanation]:
        """Tell what makes up the price of each listing given by column."""
        refuse_wrong(columns, self.own)
        return [*self.pricer.explain_all(listings_of(columns))]

    def save(self, folder: Path) -> str:
        """Write the model folder, replacing an older one in one step; return its digest."""
        parts = {
            "hedonic": {k: v for k, v in vars(self.hedonic).items() if k != "own" or v},
            "defaults": self.defaults.to_json(),
            "encoder": vars(self.encoder),
            "ranges": {k: v for k, v in vars(self.ranges).items() if v is not None},
            "support": self.support.to_json(),
        }
        if self.segments.errors:
            parts["segments"] = self.segments.to_json()
        if self.reference is not None:
            parts["reference"] = self.reference.to_json()
        if self.correction is not None:
            parts["correction"] = self.correction.to_json()

        def write_files(target: Path) -> None:
            (target / "booster.onnx").write_bytes(self.booster.graph)
            (target / "scale.onnx").write_bytes(self.scale.graph)
            if self.learned is not None:
                (target / "learned.bin").write_bytes(self.learned.to_bytes())
            if self.held_out is not None:
                parts["held_out"] = {name: v.tolist() for name, v in vars(self.held_out).items()}
            if self.listings is not None:
                parts["listings"] = self.listings.to_json()
                self.listings.records.tofile(target / "listings.bin")
            for name, part in parts.items():
                (target / f"{name}.json").write_bytes(json.dumps(part, sort_keys=True).encode())

        description = {
            "market": self.market.to_json(),
            "trained_on": self.trained_on,
            "usual_ranges": self.usual_ranges,
            "direct_share": self.direct_share,
            "importance": self.importance,
            "metrics": self.metrics,
            "libraries": _library_versions(),
            **({} if self.deal is None else {"deal": self.deal.to_json()}),
        }
        return write_folder(folder, description, write_files)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model folder, checked by :func:`carprice.model_folder.read_files`.

        Raises
        ------
        InputError
            If there is no model folder, or its format is newer than this program reads.
        CorruptModelError
            If it is not one that carprice wrote, byte for byte.
        """
        files = read_files(folder)
        names = files.contents.keys()
        if odd := ({*PARTS} - names) | (names - {*PARTS, *MORE_PARTS}):
            what = "lacks" if min(odd) in PARTS else "names, as no model does,"
            raise CorruptModelError(
                f"{folder / MANIFEST} {what} {min(odd)}; fetch or train the model again"
            )
        try:
            model = cls._of(files)
            _ = model.pricer, model.neighbours  # made now, so that what it lacks is found here
        # What a folder of any content brings about; a bug of ours would be there for all of them.
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptModelError(_not_ours(folder, error)) from None
        except RecursionError:
            raise CorruptModelError(_not_ours(folder, "it is nested too deep")) from None
        return model

    @classmethod
    def _of(cls, files: ModelFiles) -> Self:
        """Return the model of what was read; any error where it is not one that carprice wrote."""
        manifest, contents = files.manifest, files.contents
        check_part(MANIFEST, manifest)

        def part(name: str) -> Any:
            content = _with_usual_names(contents[name])
            check_part(name, content)
            return content

        hedonic, encoder = Hedonic(**part("hedonic.json")), Encoder(**part("encoder.json"))
        trained_on = {name: (low, high) for name, (low, high) in manifest["trained_on"].items()}
        if "support.json" in contents:
            support = Support.from_json(part("support.json"))
        else:  # a folder of before
            support = Support.recovered(hedonic, encoder.rows["model"], trained_on)
        held_out = None
        if "held_out.json" in contents:
            held_out = Prices(**{name: np.array(v) for name, v in part("held_out.json").items()})
        segments = Segments()
        if "segments.json" in contents:
            segments = Segments.from_json(part("segments.json"))
        reference = None
        if "reference.json" in contents:
            reference = Reference.from_json(part("reference.json"))
        deal, learned = manifest.get("deal"), contents.get("learned.bin")
        columns, defaults = len(encoder.columns), Defaults.from_json(part("defaults.json"))
        listings = None
        if "listings.json" in contents or "listings.bin" in contents:
            shared, categories = part("listings.json"), CarReader(defaults).categories
            listings = ListingStore.read(shared, contents["listings.bin"], categories)
        correction = None
        if CORRECTION in contents:
            correction = Correction.from_json(part(CORRECTION))
        return cls(
            market=Market.from_json(manifest["market"]),
            hedonic=hedonic,
            defaults=defaults,
            encoder=encoder,
            booster=Booster.read(contents["booster.onnx"], columns),
            scale=Booster.read(contents["scale.onnx"], columns),
            ranges=ConformalRanges(**part("ranges.json")),
            trained_on=trained_on,
            direct_share=manifest.get("direct_share", 0.0),
            importance=manifest["importance"],
            metrics=manifest["metrics"],
            support=support,
            usual_ranges={
                name: (low, high) for name, (low, high) in manifest.get("usual_ranges", {}).items()
            },
            held_out=held_out,
            segments=segments,
            deal=None if deal is None else DealLimits.from_json(deal),
            learned=None if learned is None else LearnedFrom.from_bytes(learned),
            listings=listings,
            reference=reference,
            correction=correction,
            libraries=manifest.get("libraries", {}),
            digest=files.digest,
        )


def _not_ours(folder: Path, why: object) -> str:
    kind = "" if isinstance(why, str | ValueError) else f"{type(why).__name__}: "
    told = " ".join(f"{kind}{why}".split())[:300]
    return f"{folder} is no model that carprice wrote ({told}); fetch or train the model again"


def _with_usual_names(content: bytes) -> Any:
    """Read JSON; full-width names, which models of before kept, are spelled as names are now.

    Where both spellings are there, what was learned of the usual one stays.

    Examples
    --------
    >>> _with_usual_names('{"bmw": 1, "ｂｍｗ": 2, "ｋｉａ": ["ｒｉｏ"]}'.encode())
    {'bmw': 1, 'kia': ['rio']}
    """
    part = json.loads(content)
    if b"\\uff" not in content and content.isascii():
        return part

    def first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {**dict(pairs), **dict(reversed(pairs))}

    text = json.dumps(part, ensure_ascii=False, sort_keys=True)
    return json.loads(in_usual_width(text), object_pairs_hook=first_of_each)


def usual_range(values: Floats, *, is_ratio: bool = False) -> tuple[float, float]:
    """Return the smallest and largest value, without those far outside of nearly all.

    Far is more than half the width of the middle 99 % beyond its ends; of what is told by ratios,
    as fuel economy is, below half of its lower end too.

    Examples
    --------
    >>> values = np.array([4.0] * 300 + [5.0] * 600 + [9.0] * 100 + [1.9, 99.0])
    >>> usual_range(values), usual_range(values, is_ratio=True)
    ((1.9, 9.0), (4.0, 9.0))
    """
    low, high = np.quantile(values, [0.005, 0.995], method="inverted_cdf")
    near = values[np.abs(values - (low + high) / 2) <= high - low]
    if is_ratio:
        near = near[near >= low / 2]
    return float(near.min()), float(near.max())


def _fit_scale(
    matrix: Matrix,
    missed: Floats,
    weights: Floats,
    folds: Codes,
    settings: "TrainSettings",
    each: Each | None,
) -> tuple[Booster, Floats]:
    """Return trees for the logarithm of a residual's expected size, and that of each row."""
    size = np.log(np.abs(missed) + _SMALLEST_RESIDUAL)
    size -= size.mean()
    seed = settings.seed
    given = matrix, size, folds, _SCALE_TREES, settings.patience, seed
    found = cross_fit(*given, weights=weights, each=each)
    chosen = {**_SCALE_TREES, "n_estimators": found.n_estimators}
    (trees,) = (each or in_turn)(fit_all, [chosen], matrix, size, weights, seed)
    return Booster.of(trees, matrix.shape[1]), found.held_out


def _assign_folds(cars: Codes, folds: int, seed: int) -> Codes:
    """Return the fold of each row, from 0; the rows of one car are in one fold."""
    of_car = np.arange(cars.max() + 1, dtype=np.intp) % folds
    return np.asarray(np.random.default_rng(seed).permutation(of_car)[cars])


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
